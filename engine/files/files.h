/* files.h - what the files of engine/files/ share: the atomic writer, checked reading, growing text, and the list of
 * named arrays that every weight format is turned into before it is matched to a model.
 *
 * Included by engine/files/ only (and by its tests). To add a weight format: fill a lur_weight_file (layers, arrays,
 * shapes, a read function) and give it to lur_weights_apply; recognise its first bytes in weights.c. */
#ifndef LUR_FILES_H
#define LUR_FILES_H

#include <sys/types.h>

#include "engine/internal.h"

/* ---- atomic writer: file.c ---- */

/* The bytes go to ".NAME.lurcher-tmp" beside the target and reach the target's name by rename, whole or not at all.
   The temporary is locked while it is written: one left by a killed process is taken over by the next writer. */
typedef struct lur_writer {
  int fd;          /* -1: closed */
  char *path;      /* the target, symbolic links followed */
  char *temporary;
} lur_writer;

/* LUR_EIO where the folder is missing or not writable, or the target is no regular file. */
lur_status lur_writer_open(lur_writer *writer, const char *path);
lur_status lur_writer_put(lur_writer *writer, const void *bytes, size_t count);
/* Syncs, renames, syncs the folder, closes. On failure the old file stands and the temporary is gone. */
lur_status lur_writer_commit(lur_writer *writer);
/* Removes the temporary and frees; a no-op after commit or a failed open. */
void lur_writer_release(lur_writer *writer);

/* ---- checked reading: file.c ---- */

/* Opens a regular file and gives its size. LUR_EIO names the file and the system's reason. */
lur_status lur_file_open(const char *path, int *fd, uint64_t *size);
/* Reads exactly count bytes at offset; an early end is LUR_EFORMAT. */
lur_status lur_file_read_at(int fd, const char *path, uint64_t offset, void *bytes, size_t count);

/* One uncompressed member of a zip archive, its checksum compared: zip.c. free() the bytes. */
lur_status lur_zip_read(const char *path, const char *name, void **bytes, size_t *count);

/* ---- growing text: text.c ---- */

typedef struct lur_lines { /* zero-initialised; bytes is NUL-terminated once something was added */
  char *bytes;
  size_t length, capacity;
  bool failed; /* memory ran out; later additions are dropped */
} lur_lines;
void lur_lines_add(lur_lines *buffer, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
/* Hands the text over ("" when nothing was added) and empties the buffer; LUR_ENOMEM when it failed. */
lur_status lur_lines_take(lur_lines *buffer, char **text);
/* strdup with a message. */
lur_status lur_text_copy(const char *text, char **copy);

/* ---- safetensors ---- */

/* lur_tensors_save without the reserve on metadata keys that begin with "lurcher.". */
lur_status lur_safetensors_write(const char *path, int n, const char *const *names, lur_tensor *const *tensors, int npairs,
                                 const char *const *metadata);

typedef struct lur_safetensors_type { /* an element type of the format */
  const char *name;
  size_t size;
  int dtype;  /* the lur_dtype it is read as, or -1: recognised, not readable */
  bool exact; /* same bytes; else converted element by element */
} lur_safetensors_type;
extern const lur_safetensors_type lur_safetensors_types[]; /* name NULL at the end */

/* The first member of the header of files written here: the checksum's digits follow it at a fixed place. */
#define LUR_CHECKSUM_KEY "lurcher.checksum"
#define LUR_CHECKSUM_HEAD "{\"__metadata__\":{\"" LUR_CHECKSUM_KEY "\":\"xxh3-128:"
#define LUR_FORMAT_KEY "lurcher.format"
enum { LUR_CHECKSUM_DIGITS = 32 };
#define LUR_SAFETENSORS_MAX_HEADER ((uint64_t)100000000) /* as in the reference implementation */

/* What the "lurcher.kind" of our files says they are. */
#define LUR_KIND_KEY "lurcher.kind"
#define LUR_KIND_CHECKPOINT "checkpoint"
#define LUR_KIND_WEIGHTS "weights"
/* Optimizer arrays of a checkpoint stand behind this; all else is "LAYER/WEIGHT". */
#define LUR_OPTIMIZER_PREFIX "optimizer/"
#define LUR_EXTRA_PREFIX "lurcher.extra/"
/* Whether a tensor of a checkpoint is no weight: an optimizer array, or one of the caller's. */
bool lur_checkpoint_is_state(const char *name);

/* Position of a tensor by name, or -1. */
int lur_archive_find(const lur_archive *archive, const char *name);
const lur_shape *lur_archive_shape(const lur_archive *archive, int index);
/* True when the file carries our checksum (and it agreed). */
bool lur_archive_is_checksummed(const lur_archive *archive);

/* ---- named tensors: named.c ---- */

typedef struct lur_named { /* zero-initialised; holds a reference to each tensor */
  int n, capacity;
  char **names;
  lur_tensor **tensors;
} lur_named;
lur_status lur_named_add(lur_named *named, lur_tensor *tensor, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;
/* Every weight of the model as "LAYER/WEIGHT". */
lur_status lur_named_add_weights(lur_named *named, const lur_model *model);
void lur_named_release(lur_named *named);

/* ---- weights of any format: weights_match.c, weights_apply.c ---- */

typedef struct lur_file_array {
  char *name; /* "kernel": what stands behind the last slash, without ":0" */
  lur_shape shape; /* as the model lays it out; a reader that transposes says the transposed shape */
  int source;      /* the reader's own number */
} lur_file_array;

typedef struct lur_file_layer {
  char *name;  /* of the layer in the file */
  char *inner; /* a second name it may be found by, or NULL */
  int narrays;
  lur_file_array *arrays;
} lur_file_layer;

typedef struct lur_weight_file { /* a file's layers with weights, in its own order */
  char *path;
  bool unordered; /* the order says nothing: not to be matched by it */
  int nlayers;
  lur_file_layer *layers;
  /* Fills lur_shape_count(&array->shape) values, row-major in array->shape. */
  lur_status (*read)(struct lur_weight_file *file, const lur_file_array *array, float *values);
  void (*close)(struct lur_weight_file *file); /* the reader's own things; may be NULL */
  void *self;
} lur_weight_file;

/* Appends an array to the layer of that name, made at the end when there is none from layer number `from` on. */
lur_status lur_weight_file_add(lur_weight_file *file, int from, const char *layer, const char *array, const lur_shape *shape, int source);
void lur_weight_file_release(lur_weight_file *file);

typedef struct lur_pairing { /* what goes where: one for each model layer with weights, in model.layers order */
  lur_layer *layer;
  int from;       /* file layer, or -1: missing */
  bool fits;      /* number and shapes of the arrays agree */
  int arrays[LUR_MAX_WEIGHTS]; /* the file's array for each weight */
} lur_pairing;

/* Fills pairings (room for every model layer) and *n. notes: a line for each run of layers that were renamed. */
lur_status lur_weights_match(const lur_model *model, const lur_weight_file *file, lur_load_match match, lur_pairing *pairings, int *n,
                             lur_lines *notes);
/* Whether the file's layer fits; fills pairing->arrays. The reason goes to why (may be NULL). */
bool lur_weights_fit(const lur_file_layer *layer, lur_pairing *pairing, lur_lines *why);
/* Matches, reports, and loads everything or, after any failure, nothing. */
lur_status lur_weights_apply(lur_model *model, lur_weight_file *file, lur_load_match match, bool strict, lur_load_report *report);

/* ---- the formats: each fills an empty lur_weight_file whose path is set ---- */

/* keras_read.c: .h5 of Keras 1, 2 and 3 (legacy). keras3_read.c: .weights.h5, which needs the model for its names.
   zipped: a .keras archive, which has a .weights.h5 inside. */
lur_status lur_keras_open(lur_weight_file *file, const lur_model *model, bool zipped);
/* keras_write.c: the same layout, atomically. */
lur_status lur_keras_save(const lur_model *model, const char *path);
/* safetensors_weights.c: "LAYER/WEIGHT" names, or PyTorch's for networks that torch_names.c knows. */
lur_status lur_safetensors_open_weights(lur_context *context, lur_weight_file *file);

/* ---- PyTorch's names: torch_names.c ---- */

typedef enum lur_torch_order { /* how the file's array becomes the model's */
  LUR_TORCH_SAME,      /* vectors */
  LUR_TORCH_DENSE,     /* (out, in) to (in, out) */
  LUR_TORCH_CONV,      /* (out, in, h, w) to (h, w, in, out) */
  LUR_TORCH_DEPTHWISE  /* (c, 1, h, w) to (h, w, c, 1) */
} lur_torch_order;

typedef struct lur_torch_name {
  char layer[LUR_NAME], weight[32];
  lur_torch_order order;
} lur_torch_name;

/* What a PyTorch name with this many dimensions is called here; false for a name that is no weight of a known network. */
bool lur_torch_translate(const char *name, int ndim, lur_torch_name *to);
/* Names that are neither weights nor unknown: "bn1.num_batches_tracked". */
bool lur_torch_ignores(const char *name);
/* The shape after the transposition; false where the number of dimensions does not fit the order. */
bool lur_torch_shape(lur_torch_order order, const lur_shape *from, lur_shape *to);
void lur_torch_transpose(lur_torch_order order, const lur_shape *from, const float *x, float *y);

#endif
