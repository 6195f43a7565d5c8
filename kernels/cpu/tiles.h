/* tiles.h - loops over tensors of different shapes that broadcast (kernels/broadcast.h), in tiles that fit into the L1
 * cache. A tile is a contiguous piece of y: whole rows of the innermost dimension, or a part of one. An operand that is
 * repeated is written out for a tile, once as long as the next tile needs the same; so the loops of loops/ see
 * contiguous arrays only. The gradients of repeated operands are summed tile by tile, in double. */
#ifndef LUR_CPU_TILES_H
#define LUR_CPU_TILES_H

#include "kernels/broadcast.h"
#include "kernels/cpu/cpu.h"

enum { CPU_TILE = 2048 };

typedef struct lur_tiles {
  lur_broadcast loop;
  int64_t count;        /* tiles */
  int64_t length, rows; /* extents of the last two dimensions: of one row, and of the rows */
  int64_t cols, lines;  /* of a full tile: elements per row, rows */
  int64_t across, down; /* tiles per row, and per `rows` rows; tiles are numbered down first, if rows are divided */
  /* How sums are divided: parts begin, if `grouped`, at multiples of `group` tiles, which is where the index of
     dimension `split` changes, so that operands with that dimension share no elements between parts; for all others
     each part has sums of its own. */
  int parts, split;
  int64_t group;
  bool grouped;
} lur_tiles;

typedef struct lur_tile {
  int64_t at;         /* first element of y */
  int64_t rows, cols; /* rows x cols elements of y from there on */
  int64_t x[LUR_BROADCAST_MOST]; /* first element of each operand */
} lur_tile;

/* An operand as a tile sees it. */
typedef struct lur_expanded {
  int64_t at, rows; /* what v holds; at -1: nothing */
  float v[CPU_TILE] __attribute__((aligned(64)));
} lur_expanded;

/* For the present number of threads. The tiles are op->state, which lur_tiles_release frees. */
lur_status lur_tiles_plan(lur_op *op, const lur_tiles **t);
void lur_tiles_release(lur_op *op);
lur_tile lur_tile_at(const lur_tiles *t, int64_t number);
/* The tile's elements of x, which is operand k: in x itself, or in e. NULL for x NULL. */
const float *lur_tile_read(const lur_tiles *t, const lur_tile *tile, int k, const float *x, lur_expanded *e);

/* The operands that are one number along each row of a tile: bit k for operand k. */
unsigned lur_tiles_numbers(const lur_tiles *t);
/* Elements of operand k from one row to the next; 0: it is repeated. */
int64_t lur_tiles_row_step(const lur_tiles *t, int k);
/* The first tile of a part. */
int64_t lur_tiles_start(const lur_tiles *t, int part);
/* Bytes of scratch for the sums of all repeated operands in `want`. */
size_t lur_tiles_scratch(const lur_op_desc *desc, const lur_tiles *t, unsigned want);

/* Sums of the gradient of one operand. */
typedef struct lur_tile_sums {
  double *sums; /* NULL: the operand is not repeated, or not wanted */
  int copies;
  int64_t width;
} lur_tile_sums;

/* Takes their place from scratch and zeroes them, for each operand. */
void lur_tile_sums_begin(const lur_op_desc *desc, const lur_tiles *t, unsigned want, void *scratch,
                         lur_tile_sums sums[LUR_BROADCAST_MOST]);
/* Adds g, the gradient of a tile, to part's sums of operand k. */
void lur_tile_sums_add(const lur_loops *loops, const lur_tiles *t, const lur_tile *tile, int k, int part,
                       const lur_tile_sums *sums, const float *g);
/* dx = or += the sums, for each operand that has some. */
void lur_tile_sums_end(const lur_args *args, const lur_tile_sums sums[LUR_BROADCAST_MOST]);

#endif
