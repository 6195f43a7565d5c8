/* data.h - the data part of the public interface: pictures, datasets, augmentation, the loader.
 * Included by lurcher.h, whose conventions hold here. */
#ifndef LUR_DATA_H
#define LUR_DATA_H
#endif
