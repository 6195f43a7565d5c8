/* files.h - shared by the files of engine/files/: zip and safetensors, and the list of layers and arrays to which every
 * weights format is reduced before it is matched to a model.
 *
 * Included by engine/files/ and its tests only. To add a weights format: fill a lur_weight_file (layers, arrays,
 * shapes, a read function), as safetensors_weights.c does, and recognise its first bytes in weights.c. */
#ifndef LUR_FILES_H
#define LUR_FILES_H

#include "engine/base/alloc.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/lurcher.h"
#include "kernels/op_desc.h"

/* zip.c: an uncompressed member of a zip archive, with its checksum verified. The caller frees the bytes, which have a
   NUL behind them. */
lur_status lur_zip_read(const char *path, const char *name, void **bytes, size_t *count);
/* Whether the archive has a member of that name; false too where it is no whole archive. */
lur_status lur_zip_has(const char *path, const char *name, bool *has);

/* ---- safetensors ---- */

/* Reads a file back before it replaces the old one; any status but LUR_OK keeps the old one. */
typedef lur_status (*lur_safetensors_verify)(void *user, const char *temporary);
/* lur_tensors_save that also accepts metadata keys starting with "lurcher.", which are the engine's own. verify may be
   NULL. */
lur_status lur_safetensors_write(const char *path, int n, const char *const *names, lur_tensor *const *tensors,
                                 int npairs, const char *const *metadata, lur_safetensors_verify verify, void *user);

typedef struct lur_safetensors_type { /* an element type of the format */
  const char *name;
  size_t size;
  int dtype;  /* the lur_dtype it is read as; -1: known, but not supported */
  bool exact; /* the bytes are the same; otherwise elements are converted */
} lur_safetensors_type;
extern const lur_safetensors_type lur_safetensors_types[]; /* name NULL at the end */

/* The header of files written by this engine starts with this; the checksum's digits follow. */
#define LUR_CHECKSUM_KEY "lurcher.checksum"
#define LUR_CHECKSUM_HEAD "{\"__metadata__\":{\"" LUR_CHECKSUM_KEY "\":\"xxh3-128:"
#define LUR_FORMAT_KEY "lurcher.format"
#define LUR_ORDER_KEY "lurcher.order" /* of the header's keys: safetensors_order.c */
#define LUR_PERCENT_KEY "lurcher.percent" /* keys, one a line, whose values are percent-encoded: percent.c */
enum { LUR_CHECKSUM_DIGITS = 32 };
#define LUR_SAFETENSORS_MAX_HEADER ((uint64_t)100000000) /* as in the reference implementation */

/* Values of the metadata key "lurcher.kind" of files written by this engine. */
#define LUR_KIND_KEY "lurcher.kind"
#define LUR_KIND_CHECKPOINT "checkpoint"
#define LUR_KIND_WEIGHTS "weights"
/* Prefixes of tensor names in checkpoints: of optimizer arrays, and of the caller's tensors. Weights are named
   "LAYER/WEIGHT". */
#define LUR_OPTIMIZER_PREFIX "optimizer/"
#define LUR_EXTRA_PREFIX "lurcher.extra/"
#define LUR_LOSS_PREFIX "lurcher.loss/" /* of weights that only a loss has */
/* Whether a tensor of a checkpoint is an optimizer array, a weight of a loss or one of the caller's, rather than a
   weight of the model. */
bool lur_checkpoint_is_state(const char *name);

/* safetensors_order.c: hashes of the names in a header, zero-initialised: of none. */
typedef struct lur_order {
  uint64_t sequence, sum;
} lur_order;
enum { LUR_ORDER_TEXT = 49 };
void lur_order_add(lur_order *order, const char *name);
void lur_order_format(const lur_order *order, char text[LUR_ORDER_TEXT]);
/* Whether the text was made of the same names in another order. */
bool lur_order_is_moved(const char *text, const lur_order *order);

/* percent.c: text of any bytes as UTF-8: '%' and what is not UTF-8 become %XX. The caller frees *encoded. */
lur_status lur_percent_encode(const char *text, char **encoded);
bool lur_percent_decode(char *text); /* in place; false: an escape is wrong */

/* lur_archive_open that leaves the checksum, which takes reading the whole file, unverified. */
lur_status lur_archive_open_structure(lur_context *context, const char *path, lur_archive **archive);
/* Position of a tensor by name, or -1. */
int lur_archive_find(const lur_archive *archive, const char *name);
const lur_shape *lur_archive_shape(const lur_archive *archive, int index);
/* Whether the file has this engine's checksum, which was verified when it was opened. */
bool lur_archive_is_checksummed(const lur_archive *archive);
/* Whether another program wrote this engine's file again: its metadata are there, the checksum is not of its bytes. */
bool lur_archive_is_resaved(const lur_archive *archive);

/* ---- named tensors: named.c ---- */

typedef struct lur_named { /* zero-initialised: empty; holds a reference to each tensor */
  int n, capacity;
  char **names;
  lur_tensor **tensors;
} lur_named;
lur_status lur_named_add(lur_named *named, lur_tensor *tensor, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;
/* Adds every weight of the model as "LAYER/WEIGHT". */
lur_status lur_named_add_weights(lur_named *named, const lur_model *model);
void lur_named_release(lur_named *named);

/* ---- weights of any format: weights_fit.c, weights_match.c, weights_positions.c, weights_apply.c ---- */

typedef struct lur_file_array {
  char *name;      /* "kernel": the part after the last slash, without ":0" */
  lur_shape shape; /* in the model's layout: if read() transposes, the transposed shape */
  int source;      /* a number that identifies it to read() */
} lur_file_array;

typedef struct lur_file_layer {
  char *name;  /* of the layer, in the file */
  char *inner; /* an alternative name to match by, or NULL */
  int narrays;
  lur_file_array *arrays;
  /* Its position, in formats that state one: the place-th (from 0) of its kind of layer in model number `nest` of the
     file, where 0 is the whole model and the others are models used as layers; those with the same number `series` come
     in the order of their own numbers. kind: the engine's; NULL: no position. */
  const char *kind;
  int nest, series;
  long place;
} lur_file_layer;

typedef struct lur_weight_file { /* the layers with weights of a file, in the file's order */
  char *path;
  bool unordered; /* the order has no meaning: layers cannot be matched by it */
  bool unnamed;   /* layers have no names, only positions: what stands for the name is the path in the file */
  const char *note; /* a line for the report, or NULL */
  int nlayers;
  lur_file_layer *layers;
  /* Fills lur_shape_count(&array->shape) values, row-major in array->shape. */
  lur_status (*read)(struct lur_weight_file *file, const lur_file_array *array, float *values);
  void (*close)(struct lur_weight_file *file); /* frees self; may be NULL */
  void *self;                                  /* data of the reader */
} lur_weight_file;

/* Appends an array to the first layer of that name from number `from` on; if there is none, to a new layer. */
lur_status lur_weight_file_add(lur_weight_file *file, int from, const char *layer, const char *array,
                               const lur_shape *shape, int source);
void lur_weight_file_release(lur_weight_file *file);

typedef struct lur_pairing { /* the match of a model layer with weights; in the order of the model's layers */
  lur_layer *layer;
  int from;                    /* file layer, or -1: missing */
  bool fits;                   /* the number and shapes of the arrays agree */
  int arrays[LUR_MAX_WEIGHTS]; /* for each weight, its array in the file's layer */
} lur_pairing;

/* Fills pairings, which has room for every model layer, and *n. Adds a line to notes for each group of layers that is
   matched under other names. */
lur_status lur_weights_match(const lur_model *model, const lur_weight_file *file, lur_load_match match,
                             lur_pairing *pairings, int *n, lur_lines *notes);
/* weights_positions.c: pairs layers by the positions that the file states, where only one way fits. The layers that it
   cannot pair stay as they are. */
lur_status lur_weights_match_positions(const lur_weight_file *file, lur_pairing *pairings, int n, lur_lines *notes);
/* Pairs a layer of the model with layer number `from` of the file, or with none (-1). */
void lur_weights_assign(const lur_weight_file *file, lur_pairing *pairing, int from);
/* Whether the file's layer fits the model's; fills pairing->arrays. why (may be NULL) gets the reason why not. */
bool lur_weights_fit(const lur_file_layer *layer, lur_pairing *pairing, lur_lines *why);
/* Matches, reports, and loads. After a failure no weight has changed. */
lur_status lur_weights_apply(lur_model *model, lur_weight_file *file, lur_load_match match, lur_load_extent extent,
                             lur_load_report *report);

/* ---- formats: each fills an empty lur_weight_file whose path is set ---- */

/* keras_read.c: .h5 of Keras 1, 2 and 3 (legacy), and .weights.h5. zipped: a .keras archive, which contains a
   .weights.h5. */
lur_status lur_keras_open(lur_weight_file *file, bool zipped);
/* keras_write.c: writes .h5 in the layout of Keras 2. */
lur_status lur_keras_save(const lur_model *model, const char *path);
/* safetensors_weights.c: "LAYER/WEIGHT" names, or PyTorch's where the model has a table of them. */
lur_status lur_safetensors_open_weights(lur_weight_file *file, const lur_model *model);

/* ---- PyTorch's names and layouts: torch.c ---- */

typedef enum lur_torch_order { /* how the file's array becomes the model's */
  LUR_TORCH_SAME,      /* as it is, without a first dimension of extent 1 where there are several */
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
