/* hdf5_internal.h - what hdf5_*.c share. Included by them and by their tests only.
 *
 *   hdf5_open.c       the superblock; open and close
 *   hdf5_file.c       bytes with bounds, cursors, checksums, messages
 *   hdf5_object.c     object headers: the messages of one object
 *   hdf5_type.c       datatypes and dataspaces; numbers to float
 *   hdf5_heap.c       global heaps (texts of variable length) and fractal heaps (links and attributes of large objects)
 *   hdf5_btree2.c     version 2 B-trees
 *   hdf5_group.c      links of both kinds of groups, paths
 *   hdf5_attribute.c  attributes, texts
 *   hdf5_dataset.c    layouts, values
 *   hdf5_chunk.c      chunks: the walk over an index, one chunk's values
 *   hdf5_array.c      the chunk indexes "fixed array" and "extensible array"
 *   hdf5_filter.c     deflate, shuffle, fletcher32
 *
 * Numbers in brackets are sections of the "HDF5 File Format Specification Version 3.0". */
#ifndef LUR_HDF5_INTERNAL_H
#define LUR_HDF5_INTERNAL_H

#include "hdf5.h"

/* ---- hdf5_open.c, hdf5_file.c ---- */

#define LUR_HDF5_NOWHERE UINT64_MAX /* the undefined address */
enum { LUR_HDF5_SUBJECT = 160, LUR_HDF5_SIGNATURE = 4, LUR_HDF5_RECENT = 6 };

struct lur_hdf5 {
  const char *path;
  int fd;                       /* or -1 with */
  unsigned char *bytes;         /* the whole file */
  uint64_t base;                /* of all addresses: the superblock's place, behind a user block */
  uint64_t size;                /* bytes from base on */
  int offset_size, length_size; /* bytes of an address and of a length: 2, 4 or 8 */
  uint64_t root;                /* address of the root group's object header */
  uint64_t work;                /* bytes that may still be read: bounds the time that structures in circles can take */
  char subject[LUR_HDF5_SUBJECT];          /* what is being read, for messages: "group 'x'" */
  lur_hdf5_group *recent[LUR_HDF5_RECENT]; /* groups opened last, the latest first: paths lead through the same ones */
};

/* Names the object that is being read. Control characters of the name are replaced. */
void lur_hdf5_subject(lur_hdf5 *file, const char *kind, const char *name);
/* "'path': ..." (LUR_EFORMAT); here and below names of the file may be given as they are. */
lur_status lur_hdf5_fail(const lur_hdf5 *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "'path': group 'x' is damaged: ..." (LUR_EFORMAT). */
lur_status lur_hdf5_damaged(const lur_hdf5 *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "'path': group 'x' uses ..., which is not supported" (LUR_EUNSUPPORTED). */
lur_status lur_hdf5_refuse(const lur_hdf5 *file, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads bytes at an address, which may be anywhere. */
lur_status lur_hdf5_read(lur_hdf5 *file, uint64_t address, void *to, uint64_t count);
/* The same into new memory; free() it. */
lur_status lur_hdf5_take(lur_hdf5 *file, uint64_t address, uint64_t count, unsigned char **bytes);
/* A structure that begins with a signature of 4 bytes and, where `checked`, ends with a checksum. */
lur_status lur_hdf5_take_signed(lur_hdf5 *file, uint64_t address, uint64_t count, const char *signature, bool checked,
                                unsigned char **bytes);
/* Room for item n of an array that grows by one: items is the address of its pointer; room doubles at 0, 1, 3, 7, ...
 */
lur_status lur_hdf5_make_room(const lur_hdf5 *file, void *items, int n, size_t size);
/* Compares the checksum in the last 4 bytes with the bytes before it [Appendix A: lookup3]. */
lur_status lur_hdf5_check_sum(const lur_hdf5 *file, const unsigned char *bytes, uint64_t count);

/* Reads fields one after another. Past the end every field is 0 and `ended` is set: it is looked at once, after a whole
   structure has been read, and before anything of it is used as a size. */
typedef struct lur_hdf5_cursor {
  const lur_hdf5 *file;
  const unsigned char *at, *end;
  bool ended;
} lur_hdf5_cursor;

lur_hdf5_cursor lur_hdf5_cursor_over(const lur_hdf5 *file, const unsigned char *bytes, uint64_t count);
uint64_t lur_hdf5_left(const lur_hdf5_cursor *cursor);
uint64_t lur_hdf5_number(lur_hdf5_cursor *cursor, int size); /* little-endian, size 0 to 8 */
uint64_t lur_hdf5_address(lur_hdf5_cursor *cursor);          /* LUR_HDF5_NOWHERE for the undefined one */
uint64_t lur_hdf5_length(lur_hdf5_cursor *cursor);
const unsigned char *lur_hdf5_skip(lur_hdf5_cursor *cursor,
                                   uint64_t count); /* where the skipped bytes are; NULL past the end */

/* floor(log2(x)), 0 for 0. */
int lur_hdf5_log2(uint64_t x);
/* Bytes that hold every number up to limit. */
int lur_hdf5_bytes_for(uint64_t limit);
/* a * b, or UINT64_MAX where it does not fit. */
uint64_t lur_hdf5_times(uint64_t a, uint64_t b);

/* ---- hdf5_object.c ---- */

enum { /* message types [IV.A.2] that are read */
       LUR_HDF5_SPACE = 0x01,
       LUR_HDF5_LINK_INFO = 0x02,
       LUR_HDF5_TYPE = 0x03,
       LUR_HDF5_OLD_FILL = 0x04,
       LUR_HDF5_FILL = 0x05,
       LUR_HDF5_LINK = 0x06,
       LUR_HDF5_EXTERNAL = 0x07,
       LUR_HDF5_LAYOUT = 0x08,
       LUR_HDF5_FILTERS = 0x0b,
       LUR_HDF5_ATTRIBUTE = 0x0c,
       LUR_HDF5_CONTINUATION = 0x10,
       LUR_HDF5_SYMBOL_TABLE = 0x11,
       LUR_HDF5_ATTRIBUTE_INFO = 0x15
};

typedef struct lur_hdf5_message {
  int type;
  bool shared; /* the bytes say where the message is, instead of being it */
  const unsigned char *bytes;
  uint64_t count;
} lur_hdf5_message;

typedef struct lur_hdf5_header { /* zero-initialised */
  int nmessages, nblocks;
  lur_hdf5_message *messages;
  unsigned char **blocks; /* the messages' bytes */
} lur_hdf5_header;

lur_status lur_hdf5_header_read(lur_hdf5 *file, uint64_t address, lur_hdf5_header *header);
void lur_hdf5_header_free(lur_hdf5_header *header);
/* The first message of a type, or NULL. */
const lur_hdf5_message *lur_hdf5_find(const lur_hdf5_header *header, int type);
bool lur_hdf5_header_is_group(const lur_hdf5_header *header);

/* ---- hdf5_type.c ---- */

typedef enum lur_hdf5_kind {
  LUR_HDF5_INTEGER,
  LUR_HDF5_FLOAT,
  LUR_HDF5_BFLOAT,
  LUR_HDF5_TEXT,
  LUR_HDF5_VARIABLE_TEXT,
  LUR_HDF5_OTHER
} lur_hdf5_kind;

typedef struct lur_hdf5_type {
  lur_hdf5_kind kind;
  uint32_t size; /* bytes of an element, at least 1 */
  bool big_endian, is_signed;
  bool space_padded; /* LUR_HDF5_TEXT: spaces at the end do not count */
} lur_hdf5_type;

enum { LUR_HDF5_MAX_DIMS = 32 };
typedef struct lur_hdf5_space {
  bool empty;                                              /* a null dataspace: no element */
  int ndim;                                                /* 0: scalar */
  uint64_t dim[LUR_HDF5_MAX_DIMS], max[LUR_HDF5_MAX_DIMS]; /* max UINT64_MAX: unlimited */
} lur_hdf5_space;

/* Types that are not supported give LUR_HDF5_OTHER, not an error. */
lur_status lur_hdf5_type_parse(const lur_hdf5 *file, const unsigned char *bytes, uint64_t count, lur_hdf5_type *type);
lur_status lur_hdf5_space_parse(const lur_hdf5 *file, const unsigned char *bytes, uint64_t count,
                                lur_hdf5_space *space);
/* Number of elements, UINT64_MAX where it does not fit. */
uint64_t lur_hdf5_space_count(const lur_hdf5_space *space);
bool lur_hdf5_is_number(const lur_hdf5_type *type);
/* n numbers of the type to float, as C converts. from: n * type->size bytes at any alignment. */
void lur_hdf5_to_float(const lur_hdf5_type *type, const unsigned char *from, size_t n, float *to);

/* ---- hdf5_heap.c ---- */

typedef struct lur_hdf5_global { /* zero-initialised: the collection that was read last */
  uint64_t address, size;
  unsigned char *bytes;
  uint64_t *offsets; /* of the objects by index, 0: absent */
} lur_hdf5_global;
/* Object `index` of the collection at an address; valid until the next call. */
lur_status lur_hdf5_global_find(lur_hdf5 *file, lur_hdf5_global *heap, uint64_t address, uint32_t index,
                                const unsigned char **bytes, uint64_t *count);
void lur_hdf5_global_free(lur_hdf5_global *heap);

typedef struct lur_hdf5_fractal_block {
  uint64_t offset, size; /* in the heap's own space */
  unsigned char *bytes;
} lur_hdf5_fractal_block;

typedef struct lur_hdf5_fractal { /* zero-initialised: a heap with all its direct blocks */
  int id_size, offset_size, length_size;
  int max_bits, rows;
  bool checked;
  uint64_t address, width, start, max_direct, huge_tree, total;
  int nblocks;
  lur_hdf5_fractal_block *blocks; /* by offset, ascending */
  int nhuge, ntaken;
  unsigned char **taken; /* objects outside the blocks that were asked for */
} lur_hdf5_fractal;

lur_status lur_hdf5_fractal_read(lur_hdf5 *file, uint64_t address, lur_hdf5_fractal *heap);
/* The object of a heap ID (heap->id_size bytes); valid until the heap is freed. */
lur_status lur_hdf5_fractal_find(lur_hdf5 *file, lur_hdf5_fractal *heap, const unsigned char *id,
                                 const unsigned char **bytes, uint64_t *count);
void lur_hdf5_fractal_free(lur_hdf5_fractal *heap);

/* ---- hdf5_btree2.c ---- */

/* Calls visit with every record, in order. type: the one that is expected; record_size: at least. */
typedef lur_status (*lur_hdf5_visit)(void *state, const unsigned char *record, int size);
lur_status lur_hdf5_btree2_each(lur_hdf5 *file, uint64_t address, int type, int record_size, lur_hdf5_visit visit,
                                void *state);

/* ---- hdf5_group.c, hdf5_attribute.c ---- */

typedef enum lur_hdf5_link_kind {
  LUR_HDF5_HARD,
  LUR_HDF5_SOFT,
  LUR_HDF5_EXTERNAL_LINK,
  LUR_HDF5_USER_LINK
} lur_hdf5_link_kind;

typedef struct lur_hdf5_link {
  char *name;
  lur_hdf5_link_kind kind;
  uint64_t address; /* LUR_HDF5_HARD */
  char *target;     /* LUR_HDF5_SOFT */
} lur_hdf5_link;

typedef struct lur_hdf5_attribute {
  const char *name; /* within bytes */
  const unsigned char *bytes;
  uint64_t count;
} lur_hdf5_attribute;

struct lur_hdf5_group {
  int refs;
  lur_hdf5 *file;
  char *path;
  uint64_t address; /* of its object header */
  lur_hdf5_header header;
  lur_hdf5_fractal heap; /* of dense attributes */
  int nlinks, nattributes;
  uint64_t name_bytes;  /* of all links: no more than the file has */
  lur_hdf5_link *links; /* by name */
  lur_hdf5_attribute *attributes;
};

/* Address of the object header that a path leads to; *address LUR_HDF5_NOWHERE where a name is missing. */
lur_status lur_hdf5_resolve(lur_hdf5 *file, const lur_hdf5_group *from, const char *path, uint64_t *address);
enum { LUR_HDF5_PATH = 512 };
/* The path from the root, for messages; cut where it is long. */
void lur_hdf5_join(const lur_hdf5_group *from, const char *path, char full[LUR_HDF5_PATH]);
/* hdf5_attribute.c: fills group->attributes. */
lur_status lur_hdf5_load_attributes(lur_hdf5_group *group);

/* ---- hdf5_filter.c ---- */

enum { LUR_HDF5_MAX_FILTERS = 8 };
typedef struct lur_hdf5_filters {
  int n;
  struct {
    int id;
    uint64_t value; /* the first parameter */
  } item[LUR_HDF5_MAX_FILTERS];
} lur_hdf5_filters;

lur_status lur_hdf5_filters_parse(const lur_hdf5 *file, const unsigned char *bytes, uint64_t count,
                                  lur_hdf5_filters *filters);
/* Undoes the filters whose bit in `mask` is not set. *bytes, count bytes from malloc, is replaced; exactly `expected`
   bytes must come out. */
lur_status lur_hdf5_filters_undo(const lur_hdf5 *file, const lur_hdf5_filters *filters, uint32_t mask,
                                 unsigned char **bytes, uint64_t count, uint64_t expected);

/* ---- hdf5_dataset.c, hdf5_chunk.c, hdf5_array.c ---- */

typedef enum lur_hdf5_layout {
  LUR_HDF5_COMPACT = 0,
  LUR_HDF5_CONTIGUOUS = 1,
  LUR_HDF5_CHUNKED = 2,
  LUR_HDF5_VIRTUAL = 3
} lur_hdf5_layout;
typedef enum lur_hdf5_index {
  LUR_HDF5_BTREE1 = 0,
  LUR_HDF5_SINGLE = 1,
  LUR_HDF5_IMPLICIT = 2,
  LUR_HDF5_FIXED_ARRAY = 3,
  LUR_HDF5_EXTENSIBLE_ARRAY = 4,
  LUR_HDF5_BTREE2 = 5
} lur_hdf5_index;

typedef struct lur_hdf5_dataset { /* zero-initialised */
  lur_hdf5 *file;
  lur_hdf5_header header;
  lur_hdf5_type type;
  lur_hdf5_space space;
  lur_hdf5_layout layout;
  uint64_t address; /* of the values or of the chunk index */
  uint64_t size;    /* bytes at address, UINT64_MAX: not stated */
  const unsigned char *compact;
  /* LUR_HDF5_CHUNKED: */
  lur_hdf5_index index;
  bool plain_edges; /* chunks that are cut by the array's edge are not filtered */
  uint64_t chunk[LUR_HDF5_MAX_DIMS], chunk_bytes;
  uint64_t single_size; /* LUR_HDF5_SINGLE: stored bytes */
  uint32_t single_mask;
  int size_bytes; /* of a stored size in the indexes of layout version 4 and up */
  lur_hdf5_filters filters;
} lur_hdf5_dataset;

typedef struct lur_hdf5_chunk {
  uint64_t at[LUR_HDF5_MAX_DIMS]; /* in chunks */
  uint64_t address, size;
  uint32_t mask;
} lur_hdf5_chunk;

/* Fills values from the chunks; those that are absent leave them as they are. */
lur_status lur_hdf5_chunks_read(lur_hdf5_dataset *dataset, float *values);
/* hdf5_array.c: both call `give` for the chunks of the current shape that exist, `elements` reads their record. */
typedef lur_status (*lur_hdf5_give)(void *state, const lur_hdf5_chunk *chunk);
lur_status lur_hdf5_array_each(lur_hdf5_dataset *dataset, lur_hdf5_give give, void *state);
/* A record of an index: address, and with filters the stored size and the mask. */
void lur_hdf5_chunk_record(const lur_hdf5_dataset *dataset, lur_hdf5_cursor *cursor, lur_hdf5_chunk *chunk);

#endif
