/* data.h - images, datasets, augmentation and the loader: the data part of lurcher.h, which includes it.
 *
 * Nothing here knows Lua or a network. Images are u8 tensors of height x width x 3 (RGB) in host memory; batches are
 * f32 tensors of n x height x width x channels. Indices count from 0. The pixels of a row depend only on the seed, the
 * epoch, the image's index and its draw number (how often the image was requested before in the epoch), never on the
 * number of worker threads.
 *
 * Every function that returns lur_status may also return LUR_ENOMEM. On failure no output is touched. */
#ifndef LURCHER_DATA_H
#define LURCHER_DATA_H

/* ---- images ----------------------------------------------------------------------------------------------- */

/* How a file becomes pixels. A zeroed struct is the default. */
typedef struct lur_decode_options {
  bool exif;          /* apply the EXIF orientation; Keras and Pillow's Image.open do not */
  int64_t max_pixels; /* a larger image is LUR_EFORMAT, before its pixels are allocated; 0: 100 million. The images that
                         the workers of a loader hold at one time have at most twice as many */
} lur_decode_options;

typedef struct lur_random lur_random; /* a generator: see lur_random_new */

typedef enum lur_resize_filter {
  LUR_RESIZE_BILINEAR = 0, /* as Pillow 4.0 to 12.3 */
  LUR_RESIZE_NEAREST,
  LUR_RESIZE_BILINEAR_13 /* as Pillow 13.0, which rounds in another order for some sizes: values differ by one */
} lur_resize_filter;

/* Decodes a JPEG or PNG file. The format is recognised by content, never by name. *image is new: u8 h x w x 3.
   Grayscale, CMYK and palette images become RGB; transparency is dropped. options may be NULL.
   LUR_EIO: the file cannot be read. LUR_EFORMAT: neither JPEG nor PNG, truncated or corrupt (also where libjpeg or
   libpng would only warn and leave pixels undefined), or more than max_pixels. */
lur_status lur_image_load(lur_context *context, const char *path, const lur_decode_options *options,
                          lur_tensor **image);
/* The same for a file's contents in memory. */
lur_status lur_image_decode(lur_context *context, const void *bytes, size_t count, const lur_decode_options *options,
                            lur_tensor **image);
/* Writes JPEG or PNG, by the extension of path: .png, .jpg or .jpeg (any other is LUR_EARG). image: u8, or f32 in
   0..255, rounded and clipped; h x w x 3, or h x w x 1 for grayscale. quality: 1..100, for JPEG only; 0: 90. The file
   is replaced atomically. */
lur_status lur_image_save(const char *path, lur_tensor *image, int quality);
typedef enum lur_image_format { LUR_IMAGE_UNKNOWN = -1, LUR_IMAGE_JPEG = 0, LUR_IMAGE_PNG } lur_image_format;
/* The same into memory: *data holds the file's *count bytes; the caller frees it with lur_text_free. */
lur_status lur_image_encode(lur_tensor *image, lur_image_format format, int quality, void **data, size_t *count);
/* Resizes as Pillow's Image.resize does, bit for bit: NEAREST, or BILINEAR (its antialiasing triangle filter), of the
   version that lur_resize_filter names.
   image: u8 h x w x 3. *resized is new. Each side must be 1..65536 (LUR_EARG). */
lur_status lur_image_resize(lur_tensor *image, int64_t height, int64_t width, lur_resize_filter filter,
                            lur_tensor **resized);
/* Copies rows top .. top + height - 1 and columns left .. left + width - 1. LUR_EARG: they exceed the image. */
lur_status lur_image_crop(lur_tensor *image, int64_t top, int64_t left, int64_t height, int64_t width,
                          lur_tensor **crop);

/* Changes of u8 images, h x w x 3, each into a new one; image_geometry.c and image_colour.c name the sources of the
   formulas. LUR_ESHAPE, LUR_ETYPE: no such image. LUR_EARG: a value out of range. */

typedef enum lur_image_fill_mode { LUR_IMAGE_FILL_VALUE = 0, LUR_IMAGE_FILL_NEAREST, LUR_IMAGE_FILL_REFLECT }
    lur_image_fill_mode;
/* What is outside an image: a colour; the nearest pixel; or the image mirrored at its edges: c b a | a b c | c b a. */
typedef struct lur_image_fill {
  lur_image_fill_mode mode;
  uint8_t rgb[3];
} lur_image_fill;

lur_status lur_image_flip(lur_tensor *image, bool vertical, lur_tensor **flipped);
/* Adds rows and columns. Negative numbers are LUR_EARG, as is a reflection of more than the image. */
lur_status lur_image_pad(lur_tensor *image, int64_t top, int64_t left, int64_t bottom, int64_t right,
                         const lur_image_fill *fill, lur_tensor **padded);

typedef struct lur_image_affine { /* about the image's centre; scale must not be 0 */
  double rotate;                  /* degrees, counter-clockwise */
  double shift_y, shift_x;        /* pixels, down and right */
  double scale;                   /* 2: twice as large */
  double shear_y, shear_x;        /* degrees, above -90 and below 90 */
  bool nearest;                   /* instead of bilinear */
  lur_image_fill fill;
} lur_image_affine;
lur_status lur_image_warp(lur_tensor *image, const lur_image_affine *affine, lur_tensor **result);

typedef enum lur_image_change {
  LUR_IMAGE_BRIGHTNESS = 0, /* amount: factor, 0 black, 1 unchanged */
  LUR_IMAGE_CONTRAST,       /* factor, 0 the mean gray */
  LUR_IMAGE_SATURATION,     /* factor, 0 gray */
  LUR_IMAGE_HUE,            /* shift, -0.5 to 0.5 of the circle */
  LUR_IMAGE_SHARPNESS,      /* factor, 0 smoothed */
  LUR_IMAGE_POSTERIZE,      /* bits that are kept per channel, 1 to 8 */
  LUR_IMAGE_SOLARIZE,       /* values from it on are inverted, 0 to 256 */
  LUR_IMAGE_AUTOCONTRAST,   /* unused */
  LUR_IMAGE_EQUALIZE,       /* unused */
  LUR_IMAGE_GRAYSCALE,      /* unused; three equal channels */
  LUR_IMAGE_CHANGES
} lur_image_change;
lur_status lur_image_recolour(lur_tensor *image, lur_image_change change, double amount, lur_tensor **result);
/* Gaussian blur. sigma: above 0, in pixels. kernel: its size in pixels, odd; 0: 2 ceil(3 sigma) + 1. */
lur_status lur_image_blur(lur_tensor *image, double sigma, int64_t kernel, lur_tensor **blurred);

typedef struct lur_image_box {
  int64_t top, left, height, width;
} lur_image_box;
/* A random box in a height x width image: its area is a share of the image's, uniform from least to most, the logarithm
   of its aspect ratio uniform from -log(ratio) to log(ratio), its place uniform. A side that exceeds the image is
   shortened to it. LUR_EARG unless 0 < least <= most <= 1 and ratio >= 1. */
lur_status lur_image_random_box(lur_random *random, int64_t height, int64_t width, double least, double most,
                                double ratio, lur_image_box *box);
/* Fills a box with a colour, or with uniform noise (random not NULL). LUR_EARG: it exceeds the image. */
lur_status lur_image_erase(lur_tensor *image, const lur_image_box *box, const uint8_t rgb[3], lur_random *random,
                           lur_tensor **erased);
/* Puts a second image over the first with its upper left pixel at (top, left), which may lie outside; what exceeds the
   first is dropped. opacity: 0 to 1. */
lur_status lur_image_paste(lur_tensor *image, lur_tensor *over, int64_t top, int64_t left, double opacity,
                           lur_tensor **pasted);
/* Arranges the images of a batch in a grid, as one new u8 image. batch: n x h x w x 3 or x 1, u8, or f32, which is
   scaled from [low, high] to 0..255. columns: 0 for a grid about as high as wide. labels: NULL, or n ASCII texts drawn
   below the images, cut to their width. */
lur_status lur_image_montage(lur_tensor *batch, double low, double high, int columns, const char *const *labels,
                             lur_tensor **image);

/* ---- datasets ----------------------------------------------------------------------------------------------- */

/* A list of image files in a fixed order, each with a class or none. It is immutable and reference-counted. */
typedef struct lur_dataset lur_dataset;

typedef struct lur_dataset_options { /* zeroed: the defaults */
  int nclasses;                      /* 0: the classes are those found, in byte-wise order of their names */
  const char *const *classes;        /* nclasses names, whose positions are the class ids; any other class found is
                                        LUR_EFORMAT */
  int nextensions;                   /* 0: jpg, jpeg and png */
  const char *const *extensions;     /* of the files to take: without the dot, any case */
  bool hidden;                       /* take files and folders whose names begin with a dot, and those that systems
                                        leave behind (__MACOSX, @eaDir, ...); false: pass them over */
} lur_dataset_options;

/* Class folders: each immediate subdirectory of path is a class; its images are found recursively. Classes are ordered
   byte-wise ("10" before "2"), images by folder, then by name, as Keras's flow_from_directory orders them from 2.0.9
   on. options may be NULL. LUR_EIO: path is not a folder. LUR_EFORMAT: it has no class folder or no image, or a class
   that options->classes does not list. */
lur_status lur_dataset_folder(const char *path, const lur_dataset_options *options, lur_dataset **dataset);
/* Paths of the files in the folders of a dataset that are not in it: because of their extension, and (class folders) as
   images beside the class folders. NULL out of range. */
const char *lur_dataset_ignored(const lur_dataset *dataset, int64_t i);
const char *lur_dataset_loose(const lur_dataset *dataset, int64_t i);
/* The images of one folder, recursively, in the same order. rule takes classes and columns from file names without
   their extension: literal characters, {class}, {NAME} for a column of that name, and {} for text to ignore, as in
   "{class}_{}" or "{class}_c{camera}s{sequence}_{}". NULL: no classes. A name that does not match is LUR_EFORMAT. */
lur_status lur_dataset_flat(const char *path, const char *rule, const lur_dataset_options *options,
                            lur_dataset **dataset);

typedef struct lur_list_options { /* zeroed: the defaults */
  const char *root;               /* folder that relative paths start from; NULL: the folder of the list file */
  char separator;                 /* 0: a tab if the first line has one, otherwise a comma */
  bool header;                    /* the first line names the columns */
  const char *path_column;        /* a name, or a number from 1 as text; NULL: "1" */
  const char *class_column;       /* NULL: "2" if there is a second column, otherwise no classes */
} lur_list_options;

/* A list or CSV file, one image per line; fields may be quoted as in RFC 4180; lines that start with # are comments.
   Both options may be NULL. LUR_EFORMAT names the line that is wrong. */
lur_status lur_dataset_list(const char *path, const lur_list_options *list, const lur_dataset_options *options,
                            lur_dataset **dataset);
/* n images from memory. names: what to show for each; names or names[i] NULL: the path. class_names or class_names[i]
   NULL: no class. options may be NULL. */
lur_status lur_dataset_items(int64_t n, const char *const *paths, const char *const *names,
                             const char *const *class_names, const lur_dataset_options *options, lur_dataset **dataset);
/* The given images in the given order (repetitions are allowed), with the same classes. LUR_EARG: an index outside the
   dataset. */
lur_status lur_dataset_subset(lur_dataset *dataset, int64_t n, const int64_t *indices, lur_dataset **subset);
/* Splits class by class: of each class, round(share * size) images go to *second, the others to *first, both in the
   dataset's order. Which ones depends only on seed and their names. share: above 0, below 1 (LUR_EARG). */
lur_status lur_dataset_split(lur_dataset *dataset, double share, uint64_t seed, lur_dataset **first,
                             lur_dataset **second);

void lur_dataset_retain(lur_dataset *dataset);
void lur_dataset_release(lur_dataset *dataset);
/* Queries. Texts belong to the dataset; an index, class or column out of range gives NULL, -1 or 0. */
int64_t lur_dataset_size(const lur_dataset *dataset);
const char *lur_dataset_path(const lur_dataset *dataset, int64_t index);
const char *lur_dataset_name(const lur_dataset *dataset, int64_t index); /* relative: "pug/0a1b.jpg" */
int lur_dataset_class(const lur_dataset *dataset, int64_t index);        /* -1: none */
int lur_dataset_class_count(const lur_dataset *dataset);
const char *lur_dataset_class_name(const lur_dataset *dataset, int class_id);
int64_t lur_dataset_class_size(const lur_dataset *dataset, int class_id);
/* The columns that the rule of a flat dataset names, and the text of one for an image. */
int lur_dataset_column_count(const lur_dataset *dataset);
const char *lur_dataset_column_name(const lur_dataset *dataset, int column);
const char *lur_dataset_column(const lur_dataset *dataset, int column, int64_t index);
/* Writes a hash of each image file's contents (XXH3-64; 0: the file cannot be read) to prints, which has room for
   lur_dataset_size of them. Reads in parallel. */
lur_status lur_dataset_fingerprints(const lur_dataset *dataset, uint64_t *prints);
/* Writes a readable summary to text, truncated to capacity; returns the length that the whole needs. */
int lur_dataset_format(const lur_dataset *dataset, char *text, size_t capacity);

/* ---- audit -------------------------------------------------------------------------------------------------- */

typedef enum lur_finding_kind {
  LUR_FINDING_CORRUPT = 0,     /* cannot be read or fully decoded */
  LUR_FINDING_EXTENSION,       /* the extension does not match the contents */
  LUR_FINDING_DUPLICATE,       /* the same bytes twice in one class */
  LUR_FINDING_CLASS_DUPLICATE, /* the same bytes in two classes */
  LUR_FINDING_SPLIT_DUPLICATE, /* the same bytes in two datasets */
  LUR_FINDING_TINY,            /* a side is shorter than the limit */
  LUR_FINDING_IMBALANCE,       /* a class is far smaller than the largest */
  LUR_FINDING_KINDS
} lur_finding_kind;
const char *lur_finding_name(lur_finding_kind kind); /* "corrupt" */

typedef struct lur_finding {
  lur_finding_kind kind;
  int set;       /* position of the dataset among those audited */
  int64_t index; /* of the image; -1 for a class, or for an image file that the dataset ignores by its extension */
  int other_set; /* for a duplicate: dataset and index of the first image with these bytes; otherwise -1 */
  int64_t other;
  char *text; /* one line */
} lur_finding;

typedef struct lur_audit {
  int64_t checked, nfindings;
  int64_t turned; /* images with an EXIF orientation other than 1: lur_decode_options.exif turns them */
  lur_finding *findings;
} lur_audit;

typedef struct lur_audit_options { /* zeroed: the defaults */
  int tiny;                        /* smallest acceptable side in pixels; 0: 32 */
  double imbalance;                /* report classes smaller than the largest by more than this factor; 0: 10 */
  int workers;                     /* threads; 0: one per core */
} lur_audit_options;

/* Reads and decodes every image of the datasets. Findings are ordered by kind, dataset and index; the caller frees them
   with lur_audit_free. options may be NULL. */
lur_status lur_dataset_audit(int nsets, lur_dataset *const *sets, const lur_audit_options *options, lur_audit *audit);
void lur_audit_free(lur_audit *audit);

/* ---- augmentation ------------------------------------------------------------------------------------------- */

/* Random changes to training images, by declared options (lur_augment_options lists them, with units and defaults).
   All geometric changes are composed to one affine map, so that an image is resampled once. Immutable and
   reference-counted.
   Conventions: Keras 2.0.6 keras/preprocessing/image.py for era "2017", Keras 3.10 keras/src/legacy/preprocessing/
   image.py otherwise; colour jitter, random resized crop, random erasing and TrivialAugment follow torchvision 0.15. */
typedef struct lur_augment lur_augment;
/* LUR_EARG: an unknown option or a value out of range. */
lur_status lur_augment_new(const lur_setting *settings, int n, lur_augment **augment);
void lur_augment_retain(lur_augment *augment);
void lur_augment_release(lur_augment *augment);
/* Fills up to capacity descriptions of the options; returns how many there are. */
int lur_augment_options(lur_option_info *info, int capacity);
/* Writes "augment{ rotate = 45, hflip = true }" to text, truncated; returns the length that the whole needs. */
int lur_augment_format(const lur_augment *augment, char *text, size_t capacity);
/* The filter that images are resized with in the augmentation's era: LUR_RESIZE_NEAREST for "2017", otherwise
   LUR_RESIZE_BILINEAR. augment may be NULL. */
lur_resize_filter lur_augment_resize(const lur_augment *augment);

/* A random generator for samplers, whose numbers depend only on (seed, stream); stream is usually the epoch.
   Philox 4x32-10 (Salmon et al. 2011). */
lur_status lur_random_new(uint64_t seed, uint64_t stream, lur_random **random);
void lur_random_release(lur_random *random);
double lur_random_next(lur_random *random);              /* uniform in [0, 1), 53 bits */
int64_t lur_random_below(lur_random *random, int64_t n); /* uniform in 0..n-1; n >= 1 */
/* Fills order with a random permutation of 0..n-1. */
void lur_random_permutation(lur_random *random, int64_t n, int64_t *order);

/* NumPy's legacy generator, numpy.random.RandomState (MT19937): it repeats the draws of a Keras run. */
typedef struct lur_numpy_random lur_numpy_random;
lur_status lur_numpy_random_new(uint32_t seed, lur_numpy_random **random);
void lur_numpy_random_retain(lur_numpy_random *random);
void lur_numpy_random_release(lur_numpy_random *random);
void lur_numpy_random_seed(lur_numpy_random *random, uint32_t seed);
double lur_numpy_random_uniform(lur_numpy_random *random, double low, double high); /* in [low, high) */
void lur_numpy_random_permutation(lur_numpy_random *random, int64_t n, int64_t *order);

/* ---- loader ------------------------------------------------------------------------------------------------- */

/* The input scaling of pretrained networks, from pixels x in 0..255; modes "tf", "caffe" and "torch" of
   keras-applications 1.0.8, keras_applications/imagenet_utils.py. */
typedef enum lur_preprocess {
  LUR_PREPROCESS_TF = 0,  /* x / 127.5 - 1 */
  LUR_PREPROCESS_CAFFE,   /* channels in BGR order, minus 103.939, 116.779, 123.68 */
  LUR_PREPROCESS_RESCALE, /* x / 255 */
  LUR_PREPROCESS_NONE,    /* x */
  LUR_PREPROCESS_TORCH    /* (x / 255 - mean) / std, with ImageNet's of R, G, B: 0.485 0.456 0.406, 0.229 0.224 0.225 */
} lur_preprocess;

typedef struct lur_loader lur_loader;

/* An image on its way through a loader with a transform. */
typedef struct lur_transform_call {
  const uint8_t *pixels; /* height x width x 3, RGB: resized and augmented, not normalised. For grayscale the three
                            channels are equal */
  int height, width;
  int64_t index;                /* of the image; where a damaged image was replaced, the replacement's */
  int64_t epoch, draw;          /* draw: how often the row's image was requested before in the epoch */
  uint64_t key;                 /* for random numbers: of the seed, the epoch, the requested image and the draw alone */
  int file_height, file_width;  /* of the image in its file */
  const lur_loader *loader;     /* for lur_transform_stopped */
} lur_transform_call;

/* A change of images by the program, in whatever language: called once per image, after resize and augmentation, and
   before normalisation and mixing. It has a state per worker thread, which is made by the thread that first needs it
   and passed from epoch to epoch; two threads never use one state at a time. The calling thread computes alone
   (OpenMP has one thread). */
typedef struct lur_transform {
  void *user;                              /* the first argument of open and release */
  lur_status (*open)(void *user, const lur_transform_call *first, void **state); /* first: the call that needs it */
  /* Writes height x width x 3 values in 0..255 to out. A failure fails the batch, with its message, and closes the
     state: the next call opens another. LUR_EFORMAT and LUR_EIO must not be returned, which mean a damaged image. */
  lur_status (*apply)(void *state, const lur_transform_call *call, float *out);
  void (*close)(void *state);
  void (*release)(void *user);             /* called once the loader is released; may be NULL */
  bool on_owner; /* applied by lur_loader_pop, in the thread that calls it, instead of by the workers */
} lur_transform;
/* Whether a call in progress is to give up, and return LUR_EINTERRUPTED: the loader is stopped or closed, or the
   context was interrupted. A call that does not end by itself should ask now and then. */
bool lur_transform_stopped(const lur_transform_call *call);

typedef struct lur_loader_options { /* zeroed: the defaults */
  int height, width;                /* of the batches, in pixels; required */
  int channels;                     /* 0 or 3: RGB; 1: grayscale, as Pillow's convert("L") */
  lur_resize_filter resize;
  lur_preprocess preprocess;
  lur_decode_options decode;
  lur_augment *augment;     /* NULL: none */
  const lur_transform *transform; /* NULL: none. Copied; its user becomes the loader's */
  lur_numpy_random *random; /* augmentation draws from it, in the order of pushes; NULL: from seed */
  lur_device *device;       /* batches are placed in host memory that it copies from fastest; NULL: ordinary memory */
  int workers;              /* threads; 0: one per core, at most 16; negative: none, lur_loader_pop makes the images */
  int prefetch;             /* batches in the queue at most; 0: 4 */
  uint64_t seed;
  bool strict; /* a damaged image makes lur_loader_pop fail; otherwise another image of the same class replaces it */
} lur_loader_options;

/* Makes batches from lists of image indices, on worker threads, in order. It belongs to one thread. The workers run
   from lur_loader_begin to lur_loader_stop or lur_loader_release. */

/* LUR_EARG: an empty dataset, or an option out of range. */
lur_status lur_loader_new(lur_context *context, lur_dataset *dataset, const lur_loader_options *options,
                          lur_loader **loader);
void lur_loader_release(lur_loader *loader);

/* Discards what is queued and starts the given epoch: draw numbers and damage counts start at 0. */
lur_status lur_loader_begin(lur_loader *loader, int64_t epoch);
/* Discards what is queued and ends the worker threads; damage counts stay. */
void lur_loader_stop(lur_loader *loader);

enum { LUR_MAX_LOAD_FIELDS = 8 };
typedef struct lur_load_field { /* a named list of images; a batch has one or more */
  const char *name;             /* "image" */
  int64_t n;
  const int64_t *indices; /* of images in the dataset; LUR_EARG for one outside it */
} lur_load_field;

int lur_loader_room(const lur_loader *loader);    /* how many more batches can be pushed */
int lur_loader_waiting(const lur_loader *loader); /* batches pushed and not popped */
/* Queues a batch. LUR_ESTATE: the queue is full. */
lur_status lur_loader_push(lur_loader *loader, int nfields, const lur_load_field *fields);
/* Counts the draws of a batch without making it: it leads to the middle of an epoch that is resumed. */
lur_status lur_loader_skip(lur_loader *loader, int nfields, const lur_load_field *fields);

typedef struct lur_loaded_field {
  char name[64];
  lur_tensor *images;  /* f32 n x height x width x channels */
  lur_tensor *classes; /* i32 n: class of each image; -1: none */
  lur_tensor *indices; /* i32 n: index of each image; where a damaged image was replaced, the replacement's */
  lur_tensor *targets; /* f32 n x classes: one-hot rows, mixed as the images are; NULL without mixup and cutmix */
} lur_loaded_field;

typedef struct lur_loaded { /* a batch; the caller releases the tensors with lur_loaded_free */
  int nfields;
  lur_loaded_field fields[LUR_MAX_LOAD_FIELDS];
} lur_loaded;

/* Waits for the oldest batch and takes it. LUR_ESTATE: none was pushed. LUR_EFORMAT or LUR_EIO: a damaged image, in
   strict mode, or no readable image at all. LUR_EIO and LUR_ENOMEM in any mode: a failure that is not the image's, such
   as too many open files, a failing disk, or no memory; no image is replaced for it. A failure of the transform.
   LUR_EINTERRUPTED: the context was interrupted while a transform took more than a second for an image. */
lur_status lur_loader_pop(lur_loader *loader, lur_loaded *batch);
/* The image tensors that the next lur_loader_pop will return, if they are complete already; otherwise no fields. The
   batch stays in the queue. */
lur_status lur_loader_peek(lur_loader *loader, lur_loaded *batch);
void lur_loaded_free(lur_loaded *batch);

/* A damaged image: one that could not be decoded, or whose file is missing, forbidden or no regular file. They are
   listed in the order in which popped batches first met them, over the life of the loader. */
typedef struct lur_damage {
  int64_t index;    /* of the image; -1: there is no such position */
  int64_t times;    /* met in this epoch */
  bool fresh;       /* first met in this epoch */
  const char *text; /* "pug/x.jpg: truncated JPEG"; belongs to the loader */
} lur_damage;
int64_t lur_loader_damage_count(const lur_loader *loader);
lur_damage lur_loader_damage(const lur_loader *loader, int64_t position);

#endif
