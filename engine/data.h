/* data.h - images, datasets, augmentation and the loader: the data part of lurcher.h, which includes it.
 *
 * Nothing here knows Lua or a network. Images are u8 h w 3 tensors in host memory; batches are f32 n h w c.
 * Indices are 0-based. What a loaded row looks like depends on (seed, epoch, image index, draw number) alone,
 * never on the number of workers. */
#ifndef LURCHER_DATA_H
#define LURCHER_DATA_H

/* ---- images ----------------------------------------------------------------------------------------------- */

/* How bytes become pixels. A zeroed struct is the default. */
typedef struct lur_decode_options {
  bool exif;          /* turn the image as its EXIF orientation says (Keras and plain Pillow do not) */
  int64_t max_pixels; /* more than this many is LUR_EFORMAT before any allocation; 0: 100 million */
} lur_decode_options;

typedef enum lur_resize_filter { LUR_RESIZE_BILINEAR = 0, LUR_RESIZE_NEAREST } lur_resize_filter;

/* JPEG or PNG, told by content, never by name. *image is new: u8 h w 3. options may be NULL. Truncated and corrupt
   images are LUR_EFORMAT, as is anything that libjpeg or libpng only warns about but cannot show whole. */
lur_status lur_image_load(lur_context *context, const char *path, const lur_decode_options *options,
                          lur_tensor **image);
lur_status lur_image_decode(lur_context *context, const void *bytes, size_t count, const lur_decode_options *options,
                            lur_tensor **image);
/* By extension .png, .jpg or .jpeg (quality 1..100, 0: 90). image: u8, or f32 in 0..255 (rounded), h w 3 or h w 1.
   Atomic. LUR_EARG for another extension. */
lur_status lur_image_save(const char *path, lur_tensor *image, int quality);
typedef enum lur_image_format { LUR_IMAGE_JPEG = 0, LUR_IMAGE_PNG } lur_image_format;
/* The file's bytes in memory; lur_text_free frees *data. */
lur_status lur_image_encode(lur_tensor *image, lur_image_format format, int quality, void **data, size_t *count);
/* Bit-equal to Pillow's Image.resize: NEAREST, or BILINEAR (its antialiased triangle filter). image: u8 h w 3. */
lur_status lur_image_resize(lur_tensor *image, int64_t height, int64_t width, lur_resize_filter filter,
                            lur_tensor **resized);
/* Rows top .. top+height-1 and columns left .. left+width-1; LUR_EARG outside the image. Copies. */
lur_status lur_image_crop(lur_tensor *image, int64_t top, int64_t left, int64_t height, int64_t width,
                          lur_tensor **crop);
/* One image of a batch n h w 3: u8, or f32 that is scaled from [low, high] to 0..255. columns 0: about square.
   labels: n short texts drawn under the images (ASCII), or NULL. */
lur_status lur_image_montage(lur_tensor *batch, double low, double high, int columns, const char *const *labels,
                             lur_tensor **image);

/* ---- datasets ----------------------------------------------------------------------------------------------- */

/* A list of image files with a class each (or none), in a fixed order. Never changes once made. */
typedef struct lur_dataset lur_dataset;

typedef struct lur_dataset_options {
  int nclasses;                  /* 0: what is found, in byte-wise order */
  const char *const *classes;    /* given: ids by position in this list; any other class found is LUR_EFORMAT */
  int nextensions;               /* 0: jpg jpeg png */
  const char *const *extensions; /* without the dot, any case */
} lur_dataset_options;

/* Class folders: classes are the immediate subdirectories in byte-wise order ("10" before "2"), files are found
   recursively, in byte-wise order of folder, then name (Keras 2.0.9 and later). options may be NULL. LUR_EIO: no such
   folder; LUR_EFORMAT: no class folder, no image, or a class that options do not list. */
lur_status lur_dataset_folder(const char *path, const lur_dataset_options *options, lur_dataset **dataset);
/* Files of one folder (recursively), in the same order. rule names the class in the file's name: literal characters,
   {class}, {identity}, {camera} and so on for a column of that name, {} for what is passed over: "{class}_{}",
   "{class}_c{camera}s{sequence}_{}". NULL: no classes. A name that does not fit is LUR_EFORMAT. */
lur_status lur_dataset_flat(const char *path, const char *rule, const lur_dataset_options *options,
                            lur_dataset **dataset);

typedef struct lur_list_options {
  const char *root;         /* before relative paths; NULL: the list file's folder */
  char separator;           /* 0: a tab where the first line has one, else a comma */
  bool header;              /* the first line names the columns */
  const char *path_column;  /* name, or 1-based number as text; NULL: "1" */
  const char *class_column; /* NULL: "2" where there is a second column, else no classes */
} lur_list_options;

/* A list or CSV file, an image a line; fields may be quoted as in RFC 4180. Either options may be NULL. */
lur_status lur_dataset_list(const char *path, const lur_list_options *list, const lur_dataset_options *options,
                            lur_dataset **dataset);
/* From memory. names[i]: shown name, or NULL for the path; class_names[i] NULL: no class. Both lists may be NULL. */
lur_status lur_dataset_items(int64_t n, const char *const *paths, const char *const *names,
                             const char *const *class_names, const lur_dataset_options *options, lur_dataset **dataset);
/* The given items in the given order (repeats allowed), the same classes. */
lur_status lur_dataset_subset(lur_dataset *dataset, int64_t n, const int64_t *indices, lur_dataset **subset);
/* Two parts, class by class: round(share * count) of each class go to *second, chosen by (seed, name), in order. */
lur_status lur_dataset_split(lur_dataset *dataset, double share, uint64_t seed, lur_dataset **first,
                             lur_dataset **second);

void lur_dataset_retain(lur_dataset *dataset);
void lur_dataset_release(lur_dataset *dataset);
int64_t lur_dataset_size(const lur_dataset *dataset);
const char *lur_dataset_path(const lur_dataset *dataset, int64_t index);
const char *lur_dataset_name(const lur_dataset *dataset, int64_t index); /* relative: "pug/0a1b.jpg" */
int lur_dataset_class(const lur_dataset *dataset, int64_t index);        /* -1: none */
int lur_dataset_class_count(const lur_dataset *dataset);
const char *lur_dataset_class_name(const lur_dataset *dataset, int class_id);
int64_t lur_dataset_class_size(const lur_dataset *dataset, int class_id);
/* Further columns of flat sets: names, and an item's value as text. */
int lur_dataset_column_count(const lur_dataset *dataset);
const char *lur_dataset_column_name(const lur_dataset *dataset, int column);
const char *lur_dataset_column(const lur_dataset *dataset, int column, int64_t index);
/* One number an image, of its file's contents (0: it cannot be read); prints has room for all. In parallel. */
lur_status lur_dataset_fingerprints(const lur_dataset *dataset, uint64_t *prints);
/* Writes a readable summary into text (truncates); returns the length it needs. */
int lur_dataset_format(const lur_dataset *dataset, char *text, size_t capacity);

/* ---- audit -------------------------------------------------------------------------------------------------- */

typedef enum lur_finding_kind {
  LUR_FINDING_CORRUPT = 0,     /* cannot be read or decoded whole */
  LUR_FINDING_EXTENSION,       /* the name says one format (or none), the bytes another */
  LUR_FINDING_DUPLICATE,       /* equal bytes within a class */
  LUR_FINDING_CLASS_DUPLICATE, /* equal bytes in two classes */
  LUR_FINDING_SPLIT_DUPLICATE, /* equal bytes in two sets */
  LUR_FINDING_TINY,            /* a side below the limit */
  LUR_FINDING_IMBALANCE,       /* a class far smaller than the largest */
  LUR_FINDING_KINDS
} lur_finding_kind;
const char *lur_finding_name(lur_finding_kind kind); /* "corrupt" */

typedef struct lur_finding {
  lur_finding_kind kind;
  int set;       /* which of the audited sets */
  int64_t index; /* the item; -1 for a class, or for an image that the set does not take */
  int other_set; /* of duplicates: the first of the group; else -1 */
  int64_t other;
  char *text; /* what was found, one line */
} lur_finding;

typedef struct lur_audit {
  int64_t checked, nfindings;
  lur_finding *findings;
} lur_audit;

typedef struct lur_audit_options {
  int tiny;         /* sides below this many pixels; 0: 32 */
  double imbalance; /* a class smaller than the largest by this factor; 0: 10 */
  int workers;      /* threads; 0: one a core */
} lur_audit_options;

/* Reads and decodes every image of the sets. Findings in order of kind, set, index. options may be NULL. */
lur_status lur_dataset_audit(int nsets, lur_dataset *const *sets, const lur_audit_options *options, lur_audit *audit);
void lur_audit_free(lur_audit *audit);

/* ---- augmentation ------------------------------------------------------------------------------------------- */

/* Declared options only; nothing of it changes once made. All geometry is one affine map from the output to the
   decoded image and one resampling. */
typedef struct lur_augment lur_augment;
lur_status lur_augment_new(const lur_setting *settings, int n, lur_augment **augment);
void lur_augment_retain(lur_augment *augment);
void lur_augment_release(lur_augment *augment);
int lur_augment_options(lur_option_info *info, int capacity);
/* Writes "augment{ rotate = 45, hflip = true }" into text (truncates); returns the length it needs. */
int lur_augment_format(const lur_augment *augment, char *text, size_t capacity);
/* What images are resized with in its era: 2017 LUR_RESIZE_NEAREST, now LUR_RESIZE_BILINEAR. NULL: now. */
lur_resize_filter lur_augment_resize(const lur_augment *augment);

/* Numbers that depend on (seed, stream) alone, for samplers: stream is an epoch, as a rule. Philox 4x32-10. */
typedef struct lur_random lur_random;
lur_status lur_random_new(uint64_t seed, uint64_t stream, lur_random **random);
void lur_random_release(lur_random *random);
double lur_random_next(lur_random *random);              /* [0, 1), 53 bits */
int64_t lur_random_below(lur_random *random, int64_t n); /* 0..n-1, each as likely; n >= 1 */
void lur_random_permutation(lur_random *random, int64_t n, int64_t *order);

/* NumPy's legacy generator (RandomState: MT19937), to repeat a Keras run draw for draw. */
typedef struct lur_numpy_random lur_numpy_random;
lur_status lur_numpy_random_new(uint32_t seed, lur_numpy_random **random);
void lur_numpy_random_retain(lur_numpy_random *random);
void lur_numpy_random_release(lur_numpy_random *random);
void lur_numpy_random_seed(lur_numpy_random *random, uint32_t seed);
double lur_numpy_random_uniform(lur_numpy_random *random, double low, double high);
void lur_numpy_random_permutation(lur_numpy_random *random, int64_t n, int64_t *order);

/* ---- loader ------------------------------------------------------------------------------------------------- */

typedef enum lur_preprocess {
  LUR_PREPROCESS_TF = 0,  /* x / 127.5 - 1 */
  LUR_PREPROCESS_CAFFE,   /* BGR, minus 103.939 116.779 123.68 */
  LUR_PREPROCESS_RESCALE, /* x / 255 */
  LUR_PREPROCESS_NONE     /* 0..255 */
} lur_preprocess;

typedef struct lur_loader_options { /* zeroed: the defaults */
  int height, width;                /* required */
  int channels;                     /* 3 (0), or 1: grayscale as Pillow's "L" */
  lur_resize_filter resize;
  lur_preprocess preprocess;
  lur_decode_options decode;
  lur_augment *augment;     /* NULL: none */
  lur_numpy_random *random; /* given: augmentation draws from it, in push order; else from seed */
  lur_device *device;       /* batches go in memory that it copies fastest from; NULL: plain */
  int workers;              /* threads; negative: images are made inside lur_loader_pop; 0: one a core, at most 16 */
  int prefetch;             /* batches in work or waiting, at most; 0: 4 */
  uint64_t seed;
  bool strict; /* a damaged image is an error of lur_loader_pop, not a replacement */
} lur_loader_options;

typedef struct lur_loader lur_loader;

/* The loader is one thread's. Its workers run from lur_loader_begin to lur_loader_rest or lur_loader_release. */
lur_status lur_loader_new(lur_context *context, lur_dataset *dataset, const lur_loader_options *options,
                          lur_loader **loader);
void lur_loader_release(lur_loader *loader);

/* Drops what is in work, and starts epoch `epoch`: draw numbers and the summary begin anew. */
lur_status lur_loader_begin(lur_loader *loader, int64_t epoch);
/* Drops what is in work and ends the worker threads now; the summary stays. */
void lur_loader_rest(lur_loader *loader);

enum { LUR_MAX_LOAD_FIELDS = 8 };
typedef struct lur_load_field {
  const char *name; /* "image" */
  int64_t n;
  const int64_t *indices; /* of the dataset; LUR_EARG outside */
} lur_load_field;

/* Room for that many more batches. */
int lur_loader_room(const lur_loader *loader);
int lur_loader_waiting(const lur_loader *loader); /* batches pushed and not popped */
/* Queues one batch. LUR_ESTATE without room. */
lur_status lur_loader_push(lur_loader *loader, int nfields, const lur_load_field *fields);
/* Counts the draws of a batch and makes no pixels: to return to a place in the middle of an epoch. */
lur_status lur_loader_skip(lur_loader *loader, int nfields, const lur_load_field *fields);

typedef struct lur_loaded_field {
  char name[64];
  lur_tensor *images;  /* f32 n h w c */
  lur_tensor *classes; /* i32 n, -1: none. Of the images that are really there */
  lur_tensor *indices; /* i32 n: likewise: a damaged image's row has its replacement's */
  lur_tensor *targets; /* f32 n classes: mixed one-hot rows, with mixup or cutmix; else NULL */
} lur_loaded_field;

typedef struct lur_loaded { /* one batch; the tensors are the caller's */
  int nfields;
  lur_loaded_field fields[LUR_MAX_LOAD_FIELDS];
} lur_loaded;

/* Waits for the oldest batch. LUR_ESTATE when none was pushed; with strict LUR_EFORMAT or LUR_EIO for a damaged
 * image. */
lur_status lur_loader_pop(lur_loader *loader, lur_loaded *batch);
/* The images of the batch that the next lur_loader_pop gives, the very tensors, where their pixels are made already;
   else no fields. Nothing is taken out of the queue. */
lur_status lur_loader_peek(lur_loader *loader, lur_loaded *batch);
void lur_loaded_free(lur_loaded *batch);

/* Damaged images met so far in this loader's life, in the order of first meeting as the batches were popped. */
typedef struct lur_damage {
  int64_t index;    /* of the dataset */
  int64_t times;    /* in this epoch */
  bool fresh;       /* first met in this epoch */
  const char *text; /* "pug/x.jpg: truncated JPEG"; the loader's */
} lur_damage;
int64_t lur_loader_damage_count(const lur_loader *loader);
lur_damage lur_loader_damage(const lur_loader *loader, int64_t position);

#endif
