/* cache.h - a feature cache: rows of features in a file, computed once and read often. The cache part of lurcher.h,
 * which includes it. A row holds the frozen features of one view of one image.
 *
 * The file is never trusted: every row has a checksum over its bytes, its position, the key and the contents of its
 * image. Rows that do not match count as missing and are computed again; a file with another key, version or size is
 * replaced as a whole. It is filled as PATH.part, under a lock, and renamed to PATH when it is complete. What a killed
 * process left is continued, row by row. Readers map the file: rows are in the page cache, not in the process.
 * Nothing here knows how rows are computed. */
#ifndef LURCHER_CACHE_H
#define LURCHER_CACHE_H

typedef struct lur_cache lur_cache;

typedef struct lur_cache_options {
  const char *path;
  const char *key;               /* a text: everything that rows depend on besides their images */
  lur_dtype store;               /* LUR_F32, or LUR_F16: half the file, 11 bits of precision */
  lur_shape row;                 /* at most LUR_MAX_DIMS - 1 dimensions */
  int64_t images;
  int views;                     /* row v * images + i is view v of image i */
  const uint64_t *fingerprints;  /* one per image, of its contents: lur_dataset_fingerprints */
  const char *label;             /* a description for people, or NULL; cut after LUR_CACHE_LABEL - 1 bytes */
} lur_cache_options;

enum { LUR_CACHE_LABEL = 128 };

typedef enum lur_cache_state {
  LUR_CACHE_CLOSED = 0,
  LUR_CACHE_READY,   /* every row is present */
  LUR_CACHE_FILLING, /* rows are missing, and this process may put them */
  LUR_CACHE_BUSY     /* another process is filling it */
} lur_cache_state;

/* Does not open the file. */
lur_status lur_cache_new(lur_context *context, const lur_cache_options *options, lur_cache **cache);
void lur_cache_release(lur_cache *cache); /* unfinished rows stay in PATH.part */

/* Opens and verifies what exists. Waits up to `wait` seconds while another process fills the file; LUR_EINTERRUPTED
   when an interrupt was requested meanwhile. LUR_EIO where the file cannot be created: a missing folder, a full disk
   (its space is reserved here). */
lur_status lur_cache_open(lur_cache *cache, double wait, lur_cache_state *state);
/* Why an existing file could not be used as it was; "" where there was none, or it could. Owned by the cache. */
const char *lur_cache_note(const lur_cache *cache);

const char *lur_cache_path(const lur_cache *cache);
int64_t lur_cache_rows(const lur_cache *cache);
int64_t lur_cache_missing(const lur_cache *cache);
bool lur_cache_has(const lur_cache *cache, int64_t row);
size_t lur_cache_bytes(const lur_cache *cache); /* size of the whole file */
double lur_cache_seconds(const lur_cache *cache); /* as passed to lur_cache_finish; 0: not known */

/* While filling: rows (i32 n), the images that are really in them (i32 n: the row of a damaged image holds another's
   features), and their features (f32 n x row, in host memory). LUR_EARG for a value that f16 cannot hold. */
lur_status lur_cache_put(lur_cache *cache, lur_tensor *rows, lur_tensor *index, lur_tensor *features);
/* When no row is missing: renames the file; the cache is ready. seconds: duration of the computation; 0: unchanged. */
lur_status lur_cache_finish(lur_cache *cache, double seconds);

/* rows: i32 n, present ones. *features: a new tensor f32 n x row. */
lur_status lur_cache_select(lur_cache *cache, lur_tensor *rows, lur_tensor **features);
/* *index: a new tensor i32, the image that is really in each row; -1: missing. */
lur_status lur_cache_index(lur_cache *cache, lur_tensor **index);

/* Describes a cache's file or part, for managing a folder of them. Only the header is checked. */
typedef struct lur_cache_info {
  char label[LUR_CACHE_LABEL];
  lur_dtype store;
  lur_shape row;
  int64_t images;
  int views;
  uint64_t bytes;
  double seconds; /* as passed to lur_cache_finish; 0: not known */
  double used;    /* when it was last opened or written, in seconds since 1970 */
  bool is_part, is_busy; /* busy: a process has it open or is filling it */
} lur_cache_info;

/* LUR_EFORMAT where it is not a cache, or has another version. A part without a header yet has 0 images. */
lur_status lur_cache_look(const char *path, lur_cache_info *info);
/* Removes a cache's file or part unless a process has it open; *removed is whether it did. LUR_EFORMAT as above;
   LUR_EIO where it cannot be determined whether a process has it open. */
lur_status lur_cache_remove(const char *path, bool *removed);

/* XXH3-128 of bytes, and of a tensor's dtype, shape and elements, on any device, as 32 hexadecimal digits. */
enum { LUR_HASH_TEXT = 33 };
void lur_bytes_hash(const void *bytes, size_t count, char text[LUR_HASH_TEXT]);
lur_status lur_tensor_hash(lur_tensor *tensor, char text[LUR_HASH_TEXT]);

#endif
