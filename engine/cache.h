/* cache.h - rows of features in a file, for what is computed once and read often: the cache part of lurcher.h, which
 * includes it. A row is what a fixed network says about one image.
 *
 * The file is never trusted: every row has a checksum over its bytes, its place, the key and the contents of its
 * image. Rows that do not fit count as missing and are put anew; a file of another key, version or size as a whole.
 * It is filled as PATH.part, under a lock, and gets its name by rename when every row is there. What a killed process
 * left of it is taken over, row by row. Readers map it: what they read lies in the page cache, not in the process.
 * Nothing here knows how rows are computed. */
#ifndef LURCHER_CACHE_H
#define LURCHER_CACHE_H

typedef struct lur_cache lur_cache;

typedef struct lur_cache_options {
  const char *path;
  const char *key;               /* a text: all that rows depend on besides their images */
  lur_dtype store;               /* LUR_F32, or LUR_F16: half the file, 11 bits of precision */
  lur_shape row;                 /* at most LUR_MAX_DIMS - 1 dimensions */
  int64_t images;
  int views;                     /* row v * images + i is view v of image i */
  const uint64_t *fingerprints;  /* one an image, of its contents: lur_dataset_fingerprints */
  const char *label;             /* what rows are, for people: NULL, or a few words (LUR_CACHE_LABEL - 1 bytes of them) */
} lur_cache_options;

enum { LUR_CACHE_LABEL = 128 };

typedef enum lur_cache_state {
  LUR_CACHE_CLOSED = 0,
  LUR_CACHE_READY,   /* every row is there */
  LUR_CACHE_FILLING, /* rows are missing, and ours to put */
  LUR_CACHE_BUSY     /* another process is filling it */
} lur_cache_state;

/* Opens nothing yet. */
lur_status lur_cache_new(lur_context *context, const lur_cache_options *options, lur_cache **cache);
void lur_cache_release(lur_cache *cache); /* what is not finished stays as PATH.part, for the next one */

/* Finds out what there is, and verifies it. Waits up to `wait` seconds while another process fills the file;
   LUR_EINTERRUPTED when it was asked to stop meanwhile.
   LUR_EIO where the file cannot be made: a missing folder, a full disk (its room is reserved here). */
lur_status lur_cache_open(lur_cache *cache, double wait, lur_cache_state *state);
/* Why a file that was there was not ready as it was; "" where none was there, or it was. The cache's. */
const char *lur_cache_note(const lur_cache *cache);

const char *lur_cache_path(const lur_cache *cache);
int64_t lur_cache_rows(const lur_cache *cache);
int64_t lur_cache_missing(const lur_cache *cache);
bool lur_cache_has(const lur_cache *cache, int64_t row);
size_t lur_cache_bytes(const lur_cache *cache); /* of the whole file */
double lur_cache_seconds(const lur_cache *cache); /* as lur_cache_finish was told; 0: not known */

/* While filling: rows (i32 n), the images that really are in them (i32 n: a damaged image's row has another's), and
   what they hold (f32 n x row, in host memory). LUR_EARG for a value that f16 cannot hold. */
lur_status lur_cache_put(lur_cache *cache, lur_tensor *rows, lur_tensor *index, lur_tensor *features);
/* With no row missing: renames, and is ready. seconds: what the computation took; 0: as it was. */
lur_status lur_cache_finish(lur_cache *cache, double seconds);

/* rows: i32 n, present ones. *features: f32 n x row, the caller's. */
lur_status lur_cache_select(lur_cache *cache, lur_tensor *rows, lur_tensor **features);
/* *index: i32, the image that really is in each row; -1: missing. The caller's. */
lur_status lur_cache_index(lur_cache *cache, lur_tensor **index);

/* What a cache's file, or the part of one, is: for looking after a folder of them. Nothing of it is checked further. */
typedef struct lur_cache_info {
  char label[LUR_CACHE_LABEL];
  lur_dtype store;
  lur_shape row;
  int64_t images;
  int views;
  uint64_t bytes;
  double seconds; /* as lur_cache_finish was told; 0: not known */
  double used;    /* when it was last opened or written, in seconds since 1970 */
  bool is_part, is_busy; /* busy: a process has it open, or is filling it */
} lur_cache_info;

/* LUR_EFORMAT where it is no cache, or one of another version. A part that was left before it had a header has 0
   images. */
lur_status lur_cache_look(const char *path, lur_cache_info *info);
/* Removes a cache's file or part, unless a process has it open: *removed says whether. LUR_EFORMAT as above; LUR_EIO
   where it cannot be known who has it open. */
lur_status lur_cache_remove(const char *path, bool *removed);

/* XXH3-128 of bytes, and of a tensor's dtype, shape and elements, on any device, as 32 hexadecimal digits. */
enum { LUR_HASH_TEXT = 33 };
void lur_bytes_hash(const void *bytes, size_t count, char text[LUR_HASH_TEXT]);
lur_status lur_tensor_hash(lur_tensor *tensor, char text[LUR_HASH_TEXT]);

#endif
