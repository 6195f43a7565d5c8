/* files.h - what the files of engine/files/ share: zip and safetensors, and the list of named arrays that every weight
 * format is turned into before it is matched to a model.
 *
 * Included by engine/files/ only (and by its tests). To add a weight format: fill a lur_weight_file (layers, arrays,
 * shapes, a read function) and give it to lur_weights_apply; recognise its first bytes in weights.c. */
#ifndef LUR_FILES_H
#define LUR_FILES_H

#include "engine/base/alloc.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/lurcher.h"
#include "kernels/op_desc.h"

/* ---- zip.c ---- */

/* One uncompressed member of a zip archive, its checksum compared: zip.c. free() the bytes. */
lur_status lur_zip_read(const char *path, const char *name, void **bytes, size_t *count);

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
bool lur_checkpoint_beside_weights(const char *name);

/* Position of a tensor by name, or -1. */
int lur_archive_find(const lur_archive *archive, const char *name);
const lur_shape *lur_archive_shape(const lur_archive *archive, int index);
/* True when the file carries our checksum (and it agreed). */
bool lur_archive_is_ours(const lur_archive *archive);

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
/* safetensors_weights.c: "LAYER/WEIGHT" names, or PyTorch's where the model knows them. */
lur_status lur_safetensors_open_weights(lur_weight_file *file, const lur_model *model);

/* ---- PyTorch's names and layouts: torch.c ---- */

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

/* The model's weight for the name of an array with that many dimensions; false where the model has no such name
   (lur_model_set_weight_names). */
bool lur_torch_translate(const lur_model *model, const char *name, int ndim, lur_torch_name *to);
/* Arrays of PyTorch's that are not weights: "bn1.num_batches_tracked". */
bool lur_torch_ignores(const char *name);
/* The shape after the transposition; false where the number of dimensions does not fit the order. */
bool lur_torch_shape(lur_torch_order order, const lur_shape *from, lur_shape *to);
void lur_torch_transpose(lur_torch_order order, const lur_shape *from, const float *x, float *y);

#endif
