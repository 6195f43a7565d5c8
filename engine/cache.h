/* cache.h - the feature cache: a file of rows that are computed once and read often. It is a part of lurcher.h, which
 * includes it. A row is the output of a frozen backbone for one image; nothing here knows how it is computed.
 *
 * The file is never trusted: every row has a checksum over its bytes, its position, the key and the contents of its
 * image. Rows that fail it count as missing and are written again; in a file of another key, version or size, all do.
 * A cache is filled as PATH.part, under a lock, and renamed when it has every row. The rows that an interrupted process
 * left in PATH.part are checked and kept. Readers map the file, so that its pages are shared between processes. */
#ifndef LURCHER_CACHE_H
#define LURCHER_CACHE_H

typedef struct lur_cache lur_cache;

typedef struct lur_cache_options {
  const char *path;
  const char *key;               /* text that names everything that rows depend on besides their images */
  lur_dtype store;               /* LUR_F32; or LUR_F16, for half the size and 11 bits of precision */
  lur_shape row;                 /* at most LUR_MAX_DIMS - 1 dimensions */
  int64_t images;
  int views;                     /* row v * images + i is view v of image i */
  const uint64_t *fingerprints;  /* one per image, of its contents: lur_dataset_fingerprints */
  const char *label;             /* what rows are, for people: at most LUR_CACHE_LABEL - 1 bytes; or NULL */
} lur_cache_options;

enum { LUR_CACHE_LABEL = 128 };

typedef enum lur_cache_state {
  LUR_CACHE_CLOSED = 0,
  LUR_CACHE_READY,   /* it has every row */
  LUR_CACHE_FILLING, /* rows are missing, and this process has the lock to write them */
  LUR_CACHE_BUSY     /* another process is filling it */
} lur_cache_state;

/* Does not open the file yet. */
lur_status lur_cache_new(lur_context *context, const lur_cache_options *options, lur_cache **cache);
void lur_cache_release(lur_cache *cache); /* an unfinished file stays as PATH.part, to be continued later */

/* Opens the file and verifies every row; where it does not exist, or lacks rows, opens PATH.part for writing and
   reserves its disk space. Waits up to `wait` seconds while another process fills it.
   LUR_EINTERRUPTED: the context was interrupted while waiting. LUR_EIO: the file cannot be made, because its folder is
   missing or the disk is full. */
lur_status lur_cache_open(lur_cache *cache, double wait, lur_cache_state *state);
/* Why an existing file could not be used as it was; "" where it could, or there was none. Owned by the cache. */
const char *lur_cache_note(const lur_cache *cache);

const char *lur_cache_path(const lur_cache *cache);
int64_t lur_cache_rows(const lur_cache *cache);
int64_t lur_cache_missing(const lur_cache *cache);
bool lur_cache_has(const lur_cache *cache, int64_t row);
size_t lur_cache_bytes(const lur_cache *cache); /* of the whole file */
double lur_cache_seconds(const lur_cache *cache); /* of lur_cache_finish; 0: not known */

/* Writes rows (i32 n), while filling: index, the images that they are of (i32 n; the row of a damaged image holds the
   features of its replacement), and features (f32 n x row, in host memory). LUR_EARG: f16 cannot hold a value. */
lur_status lur_cache_put(lur_cache *cache, lur_tensor *rows, lur_tensor *index, lur_tensor *features);
/* Renames PATH.part to PATH; no row may be missing. seconds: duration of the computation; 0: as it was before. */
lur_status lur_cache_finish(lur_cache *cache, double seconds);

/* rows: i32 n, none of them missing. *features: f32 n x row, the caller's to release. */
lur_status lur_cache_select(lur_cache *cache, lur_tensor *rows, lur_tensor **features);
/* *index: i32, the image that each row is of; -1 where it is missing. The caller's to release. */
lur_status lur_cache_index(lur_cache *cache, lur_tensor **index);

/* The header of a cache file, or of an unfinished one (.part), to list and clean a folder of them. Rows are not
   verified. */
typedef struct lur_cache_info {
  char label[LUR_CACHE_LABEL];
  lur_dtype store;
  lur_shape row;
  int64_t images;
  int views;
  uint64_t bytes;
  double seconds; /* of lur_cache_finish; 0: not known */
  double used;    /* when it was last opened or written, in seconds since 1970 */
  bool is_part, is_busy; /* is_busy: a process has it open, or is filling it */
} lur_cache_info;

/* LUR_EFORMAT: the file is not a feature cache, or of another version. An unfinished file without a header yet has 0
   images. */
lur_status lur_cache_look(const char *path, lur_cache_info *info);
/* Removes a cache file or an unfinished one, unless a process has it open: then *removed is false. LUR_EFORMAT as
   above; LUR_EIO: the system does not report whether a process has it open. */
lur_status lur_cache_remove(const char *path, bool *removed);

/* XXH3-128 of bytes, and of a tensor's dtype, shape and elements, on any device, as 32 hexadecimal digits. */
enum { LUR_HASH_TEXT = 33 };
void lur_bytes_hash(const void *bytes, size_t count, char text[LUR_HASH_TEXT]);
lur_status lur_tensor_hash(lur_tensor *tensor, char text[LUR_HASH_TEXT]);

#endif
