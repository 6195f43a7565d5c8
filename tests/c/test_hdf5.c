/* test_hdf5.c - the reader of HDF5 files against libhdf5, which writes them here in every format that it knows; files
 * that use what is not supported; files that are damaged or built to do harm.
 *   test_hdf5 [FOLDER]    FOLDER: of more damaged files */
#include <dirent.h>
#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "engine/files/hdf5_internal.h"

static char folder[] = "/tmp/lurcher_hdf5_XXXXXX";
static char file_path[64];

/* The oldest format, that of 1.8 and the latest: superblocks 0, 2 and 3, both kinds of groups, all indexes of chunks.
 */
static const H5F_libver_t versions[] = {H5F_LIBVER_EARLIEST, H5F_LIBVER_V18, H5F_LIBVER_LATEST};
enum { VERSIONS = sizeof versions / sizeof *versions };

static hid_t create(H5F_libver_t version, hsize_t user_block) {
  hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
  H5Pset_libver_bounds(access, version, version == H5F_LIBVER_EARLIEST ? H5F_LIBVER_LATEST : version);
  H5Pset_userblock(creation, user_block);
  unlink(file_path);
  hid_t file = H5Fcreate(file_path, H5F_ACC_TRUNC, creation, access);
  CHECK(file >= 0);
  H5Pclose(access);
  H5Pclose(creation);
  return file;
}

static lur_hdf5 *open_file(void) {
  lur_hdf5 *file = NULL;
  CHECK_OK(lur_hdf5_open(file_path, &file));
  return file;
}

static unsigned char *slurp(const char *name, size_t *count) {
  FILE *file = fopen(name, "rb");
  unsigned char *bytes = calloc(1, 1 << 20);
  *count = file == NULL ? 0 : fread(bytes, 1, 1 << 20, file);
  if (file != NULL) fclose(file);
  return bytes;
}

static bool same_bits(const float *a, const float *b, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (memcmp(&a[i], &b[i], sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i]))) return false;
  return true;
}

/* ---- values ---- */

typedef struct layout {
  const char *name;
  int ndim;
  hsize_t shape[3], limit[3], chunk[3]; /* chunk 0: contiguous; limit 0: the shape */
  enum { DEFLATE = 1, SHUFFLE = 2, FLETCHER = 4, COMPACT = 8, EARLY = 16, HALF = 32, PLAIN_EDGES = 64 } how;
} layout;

static const layout layouts[] = {
    {"scalar", 0, {0}, {0}, {0}, 0},
    {"vector", 1, {1000}, {0}, {0}, 0},
    {"compact", 2, {5, 7}, {0}, {0}, COMPACT},
    {"empty", 2, {3, 0}, {0}, {0}, 0},
    {"one_chunk", 2, {6, 9}, {0}, {6, 9}, DEFLATE},
    {"one_plain_chunk", 2, {6, 9}, {0}, {6, 9}, 0},
    {"implicit", 3, {5, 6, 7}, {0}, {2, 3, 4}, EARLY},
    {"fixed", 3, {5, 6, 7}, {0}, {2, 3, 4}, 0},
    {"fixed_filtered", 3, {5, 6, 7}, {0}, {2, 3, 4}, DEFLATE | SHUFFLE | FLETCHER},
    {"fixed_paged", 1, {5000}, {0}, {2}, 0},
    {"fixed_with_limit", 2, {5, 6}, {9, 20}, {2, 3}, SHUFFLE},
    {"fixed_half", 1, {9000}, {0}, {2}, HALF},
    {"extensible", 2, {50, 6}, {H5S_UNLIMITED, 6}, {2, 4}, 0},
    {"extensible_second", 2, {6, 50}, {6, H5S_UNLIMITED}, {4, 2}, DEFLATE},
    {"extensible_long", 1, {9000}, {H5S_UNLIMITED}, {1}, 0},
    {"extensible_half", 1, {9000}, {H5S_UNLIMITED}, {1}, HALF | FLETCHER},
    {"two_limits", 2, {40, 40}, {H5S_UNLIMITED, H5S_UNLIMITED}, {3, 3}, DEFLATE},
    {"two_limits_deep", 2, {60, 60}, {H5S_UNLIMITED, H5S_UNLIMITED}, {1, 2}, 0},
    {"plain_edges", 2, {7, 7}, {0}, {3, 3}, DEFLATE | PLAIN_EDGES},
};

static hid_t creation_list(const layout *what) {
  hid_t list = H5Pcreate(H5P_DATASET_CREATE);
  float fill = 2.5f;
  if (what->chunk[0] > 0) H5Pset_chunk(list, what->ndim, what->chunk);
  if (what->how & SHUFFLE) H5Pset_shuffle(list);
  if (what->how & DEFLATE) H5Pset_deflate(list, 6);
  if (what->how & FLETCHER) H5Pset_fletcher32(list);
  if (what->how & COMPACT) H5Pset_layout(list, H5D_COMPACT);
  if (what->how & EARLY) H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY);
  if (what->how & HALF) H5Pset_fill_value(list, H5T_NATIVE_FLOAT, &fill);
  if (what->how & PLAIN_EDGES) H5Pset_chunk_opts(list, H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS);
  return list;
}

/* libhdf5 writes unfiltered edges in its latest format only. */
static bool is_known(const layout *what, H5F_libver_t version) {
  return !(what->how & PLAIN_EDGES) || version == H5F_LIBVER_LATEST;
}

static void put_array(hid_t file, const layout *what, hid_t type) {
  hsize_t limit[3], count = 1;
  for (int i = 0; i < what->ndim; i++) {
    limit[i] = what->limit[i] == 0 ? what->shape[i] : what->limit[i];
    count *= what->shape[i];
  }
  hid_t space = what->ndim == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(what->ndim, what->shape, limit),
        list = creation_list(what);
  hid_t dataset = H5Dcreate2(file, what->name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
  float *values = malloc((count + 1) * sizeof *values);
  for (hsize_t i = 0; i < count; i++) values[i] = (float)((i * 37 + 11) % 251) / 2;
  if (what->how & HALF) { /* the first third */
    hsize_t part = what->shape[0] / 3;
    hid_t memory = H5Screate_simple(1, &part, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &(hsize_t){0}, NULL, &part, NULL);
    CHECK(H5Dwrite(dataset, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, values) >= 0);
    H5Sclose(memory);
  } else if (count > 0) {
    CHECK(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
  }
  CHECK(dataset >= 0);
  free(values);
  H5Dclose(dataset);
  H5Pclose(list);
  H5Sclose(space);
}

/* What libhdf5 reads. */
static float *oracle(hid_t file, const char *name, size_t count) {
  float *values = calloc(count + 1, sizeof *values);
  hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
  CHECK(dataset >= 0 && H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
  H5Dclose(dataset);
  return values;
}

static void compare_array(hid_t file, lur_hdf5 *ours, const layout *what) {
  lur_shape shape = {0};
  CHECK_OK(lur_hdf5_shape(ours, NULL, what->name, &shape));
  bool same = shape.ndim == what->ndim;
  for (int i = 0; i < what->ndim; i++) same = same && shape.dim[i] == (int64_t)what->shape[i];
  CHECK(same);
  size_t count = (size_t)lur_shape_count(&shape);
  float *expected = oracle(file, what->name, count), *found = malloc((count + 1) * sizeof *found);
  for (size_t i = 0; i < count; i++) found[i] = -1;
  CHECK_OK(lur_hdf5_values(ours, NULL, what->name, (int64_t)count, found));
  if (!CHECK(same_bits(expected, found, count))) fprintf(stderr, "  in '%s'\n", what->name);
  CHECK_FAILS(lur_hdf5_values(ours, NULL, what->name, (int64_t)count + 1, found), LUR_EFORMAT, "were expected");
  free(expected);
  free(found);
}

static void test_layouts(void) {
  for (int v = 0; v < VERSIONS; v++)
    for (int user_block = 0; user_block <= 512; user_block += 512) {
      hid_t file = create(versions[v], (hsize_t)user_block);
      for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (is_known(&layouts[i], versions[v])) put_array(file, &layouts[i], i % 2 ? H5T_IEEE_F32LE : H5T_STD_I16BE);
      H5Fflush(file, H5F_SCOPE_GLOBAL);
      H5Fclose(file);
      file = H5Fopen(file_path, H5F_ACC_RDONLY, H5P_DEFAULT);
      lur_hdf5 *ours = open_file();
      for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (is_known(&layouts[i], versions[v])) compare_array(file, ours, &layouts[i]);
      lur_hdf5_close(ours);
      H5Fclose(file);
    }
}

static hid_t half_type(bool big_endian, bool brain) {
  hid_t type = H5Tcopy(big_endian ? H5T_IEEE_F32BE : H5T_IEEE_F32LE);
  H5Tset_fields(type, 15, brain ? 7 : 10, brain ? 8 : 5, 0, brain ? 7 : 10);
  H5Tset_size(type, 2);
  H5Tset_ebias(type, brain ? 127 : 15);
  return type;
}

static void test_types(void) {
  hid_t types[] = {
      H5T_IEEE_F32LE,       H5T_IEEE_F32BE, H5T_IEEE_F64LE,          H5T_IEEE_F64BE,         H5T_STD_I8LE,
      H5T_STD_U8BE,         H5T_STD_I16LE,  H5T_STD_U16BE,           H5T_STD_I32BE,          H5T_STD_U32LE,
      H5T_STD_I64LE,        H5T_STD_U64BE,  half_type(false, false), half_type(true, false), half_type(false, true),
      half_type(true, true)};
  enum { TYPES = sizeof types / sizeof *types, N = 9 };
  static const float values[N] = {0, 1, -2, 3.5f, 100, -128, 0.1f, 65504, 1e-5f};
  hid_t file = create(H5F_LIBVER_EARLIEST, 0), space = H5Screate_simple(1, &(hsize_t){N}, NULL);
  char name[16];
  for (int i = 0; i < TYPES; i++) {
    snprintf(name, sizeof name, "t%d", i);
    hid_t dataset = H5Dcreate2(file, name, types[i], space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(dataset >= 0 && H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
  }
  H5Fflush(file, H5F_SCOPE_GLOBAL);
  lur_hdf5 *ours = open_file();
  for (int i = 0; i < TYPES; i++) {
    float found[N] = {-1};
    snprintf(name, sizeof name, "t%d", i);
    float *expected = oracle(file, name, N);
    CHECK_OK(lur_hdf5_values(ours, NULL, name, N, found));
    if (!CHECK(same_bits(expected, found, N))) fprintf(stderr, "  type %d\n", i);
    free(expected);
  }
  lur_hdf5_close(ours);
  for (int i = TYPES - 4; i < TYPES; i++) H5Tclose(types[i]);
  H5Sclose(space);
  H5Fclose(file);
}

/* bfloat16 as h5py writes it: opaque elements of two bytes. Others are no numbers. */
static void test_opaque(void) {
  static const uint16_t values[] = {0x3f80, 0xc049, 0x0000, 0x7f80, 0x0001};
  enum { N = sizeof values / sizeof *values };
  hid_t file = create(H5F_LIBVER_EARLIEST, 0), space = H5Screate_simple(1, &(hsize_t){N}, NULL);
  for (int size = 1; size <= 2; size++) {
    hid_t type = H5Tcreate(H5T_OPAQUE, (size_t)size);
    hid_t dataset = H5Dcreate2(file, size == 2 ? "two" : "one", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(dataset >= 0 && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Tclose(type);
  }
  H5Fflush(file, H5F_SCOPE_GLOBAL);
  lur_hdf5 *ours = open_file();
  float found[N];
  CHECK_OK(lur_hdf5_values(ours, NULL, "two", N, found));
  for (int i = 0; i < N; i++) {
    uint32_t bits;
    memcpy(&bits, &found[i], sizeof bits);
    CHECK(bits == (uint32_t)values[i] << 16);
  }
  CHECK_FAILS(lur_hdf5_values(ours, NULL, "one", N, found), LUR_EFORMAT, "has no numbers");
  lur_hdf5_close(ours);
  H5Sclose(space);
  H5Fclose(file);
}

/* ---- groups ---- */

static void test_groups(void) {
  static const int counts[] = {0, 1, 8, 9, 300};
  for (int v = 0; v < VERSIONS; v++)
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
      hid_t file = create(versions[v], 0), list = H5Pcreate(H5P_GROUP_CREATE);
      if (c % 2) H5Pset_link_creation_order(list, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
      hid_t group = H5Gcreate2(file, "layers", H5P_DEFAULT, list, H5P_DEFAULT);
      char name[32];
      for (int i = 0; i < counts[c]; i++) {
        snprintf(name, sizeof name, "layer_%d", (i * 7) % 300);
        H5Gclose(H5Gcreate2(group, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
      }
      H5Lcreate_soft("/layers/layer_0/.", file, "soft", H5P_DEFAULT, H5P_DEFAULT);
      H5Lcreate_soft("nowhere", file, "dangling", H5P_DEFAULT, H5P_DEFAULT);
      H5Lcreate_soft("circle", file, "circle", H5P_DEFAULT, H5P_DEFAULT);
      H5Lcreate_hard(file, "/", group, "~up", H5P_DEFAULT, H5P_DEFAULT);
      H5Pclose(list);
      H5Gclose(group);
      H5Fclose(file);
      lur_hdf5 *ours = open_file();
      lur_hdf5_group *opened = NULL, *other = NULL;
      CHECK_OK(lur_hdf5_group_open(ours, NULL, "//layers/.", &opened));
      CHECK(lur_hdf5_link_count(opened) == counts[c] + 1 && !lur_hdf5_has_link(opened, "layer"));
      for (int i = 1; i < lur_hdf5_link_count(opened); i++)
        CHECK(strcmp(lur_hdf5_link_name(opened, i - 1), lur_hdf5_link_name(opened, i)) < 0);
      bool is_group = true;
      for (int i = 0; i < counts[c]; i++) {
        snprintf(name, sizeof name, "layer_%d", (i * 7) % 300);
        CHECK(lur_hdf5_has_link(opened, name));
        CHECK_OK(lur_hdf5_is_group(opened, name, &is_group));
        CHECK(is_group);
      }
      CHECK_OK(lur_hdf5_group_open(ours, opened, "~up/layers/~up", &other));
      CHECK(lur_hdf5_has_link(other, "soft"));
      CHECK_OK(lur_hdf5_is_group(other, "dangling", &is_group));
      CHECK(!is_group);
      CHECK_OK(lur_hdf5_is_group(other, "soft", &is_group));
      CHECK(is_group == (counts[c] > 0));
      CHECK_FAILS(lur_hdf5_is_group(other, "circle", &is_group), LUR_EFORMAT, "more than 8 soft links");
      lur_hdf5_group_close(other);
      CHECK_FAILS(lur_hdf5_group_open(ours, opened, "layer_1/x", &other), LUR_EFORMAT, "is missing");
      CHECK_FAILS(lur_hdf5_values(ours, opened, "~up", 1, &(float){0}), LUR_EFORMAT, "is not an array");
      lur_hdf5_group_close(opened);
      lur_hdf5_close(ours);
    }
}

/* ---- attributes ---- */

static void put_text(hid_t object, const char *name, hid_t type, int n, const void *data) {
  hid_t space = n < 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &(hsize_t){(hsize_t)n}, NULL);
  hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  CHECK(attribute >= 0 && (n == 0 || H5Awrite(attribute, type, data) >= 0));
  H5Aclose(attribute);
  H5Sclose(space);
}

static hid_t text_type(size_t size, H5T_str_t padding) {
  hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, size);
  if (size != H5T_VARIABLE) H5Tset_strpad(type, padding);
  return type;
}

static void check_texts(const lur_hdf5_group *group, const char *name, int n, const char *first, const char *last) {
  lur_strings strings = {0};
  CHECK_OK(lur_hdf5_strings(group, name, &strings));
  if (CHECK(strings.n == n) && n > 0)
    CHECK(strcmp(strings.items[0], first) == 0 && strcmp(strings.items[n - 1], last) == 0);
  lur_strings_free(&strings);
}

enum { LARGE = 70000 };

static void put_texts(hid_t file, bool large) {
  hid_t fixed = text_type(4, H5T_STR_NULLPAD), spaces = text_type(4, H5T_STR_SPACEPAD),
        variable = text_type(H5T_VARIABLE, H5T_STR_NULLTERM);
  static const char *const lines[] = {"one", "", "a longer third text"};
  put_text(file, "fixed", fixed, 3, "a\0\0\0bc\0\0defg");
  put_text(file, "spaces", spaces, 2, "a b  xyz");
  put_text(file, "scalar", fixed, -1, "abc");
  put_text(file, "variable", variable, 3, lines);
  put_text(file, "variable_scalar", variable, -1, &lines[2]);
  put_text(file, "empty", H5T_IEEE_F64LE, 0, NULL);
  put_text(file, "numbers", H5T_STD_I32LE, 2, (int[]){1, 2});
  put_text(file, "split0", fixed, 1, "p\0\0\0");
  put_text(file, "split1", variable, 2, lines);
  hid_t space = H5Screate(H5S_NULL);
  H5Aclose(H5Acreate2(file, "null", fixed, space, H5P_DEFAULT, H5P_DEFAULT));
  H5Sclose(space);
  if (large) {
    char *bytes = malloc(LARGE);
    memset(bytes, 'x', LARGE);
    hid_t type = text_type(LARGE, H5T_STR_NULLPAD);
    put_text(file, "large", type, 1, bytes);
    H5Tclose(type);
    free(bytes);
  }
  H5Tclose(fixed);
  H5Tclose(spaces);
  H5Tclose(variable);
}

static void test_attributes(void) {
  for (int v = 0; v < VERSIONS; v++)
    for (int more = 0; more <= 200; more += 100) {
      hid_t file = create(versions[v], 0), type = text_type(3, H5T_STR_NULLPAD);
      char name[32];
      put_texts(file, v > 0);
      for (int i = 0; i < more; i++) {
        snprintf(name, sizeof name, "more_%d", i);
        put_text(file, name, type, 1, "xyz");
      }
      H5Tclose(type);
      H5Fclose(file);
      lur_hdf5 *ours = open_file();
      lur_hdf5_group *root = NULL;
      lur_strings strings = {0};
      CHECK_OK(lur_hdf5_group_open(ours, NULL, "/", &root));
      check_texts(root, "fixed", 3, "a", "defg");
      check_texts(root, "spaces", 2, "a b", " xyz");
      check_texts(root, "scalar", 1, "abc", "abc");
      check_texts(root, "variable", 3, "one", "a longer third text");
      check_texts(root, "variable_scalar", 1, "a longer third text", "a longer third text");
      check_texts(root, "empty", 0, "", "");
      check_texts(root, "null", 0, "", "");
      check_texts(root, "split", 3, "p", "");
      CHECK_FAILS(lur_hdf5_strings(root, "numbers", &strings), LUR_EFORMAT, "attribute 'numbers' of '/' has no texts");
      CHECK_FAILS(lur_hdf5_strings(root, "absent", &strings), LUR_EFORMAT, "'/' has no attribute 'absent'");
      if (v > 0) {
        CHECK_OK(lur_hdf5_strings(root, "large", &strings));
        CHECK(strings.n == 1 && strlen(strings.items[0]) == LARGE);
        lur_strings_free(&strings);
      }
      for (int i = 0; i < more; i++) {
        snprintf(name, sizeof name, "more_%d", i);
        check_texts(root, name, 1, "xyz", "xyz");
      }
      lur_hdf5_group_close(root);
      lur_hdf5_close(ours);
    }
}

/* ---- what is refused ---- */

static void put_virtual(hid_t file) {
  hid_t space = H5Screate_simple(1, &(hsize_t){4}, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_virtual(list, space, "/etc/passwd", "x", space);
  H5Dclose(H5Dcreate2(file, "virtual", H5T_IEEE_F32LE, space, H5P_DEFAULT, list, H5P_DEFAULT));
  H5Pclose(list);
  list = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_external(list, "/etc/passwd", 0, 16);
  H5Dclose(H5Dcreate2(file, "external", H5T_IEEE_F32LE, space, H5P_DEFAULT, list, H5P_DEFAULT));
  H5Pclose(list);
  hid_t named = H5Tcopy(H5T_IEEE_F32LE);
  H5Tcommit2(file, "type", named, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Dclose(H5Dcreate2(file, "named", named, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Tclose(named);
  H5Dclose(H5Dcreate2(file, "reference", H5T_STD_REF_OBJ, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Dclose(H5Dcreate2(file, "unwritten", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  list = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(list, 1, &(hsize_t){4});
  H5Pset_nbit(list);
  H5Dclose(H5Dcreate2(file, "nbit", H5T_IEEE_F32LE, space, H5P_DEFAULT, list, H5P_DEFAULT));
  H5Pclose(list);
  H5Sclose(space);
}

static void test_refused(void) {
  static const struct {
    const char *name;
    lur_status status;
    const char *part;
  } arrays[] = {{"virtual", LUR_EUNSUPPORTED, "array 'virtual' uses a virtual layout"},
                {"external", LUR_EFORMAT, "array 'external' has its values in another file"},
                {"named", LUR_EUNSUPPORTED, "array 'named' uses a named datatype"},
                {"type", LUR_EFORMAT, "array 'type' is not an array"},
                {"reference", LUR_EFORMAT, "array 'reference' has no numbers"},
                {"unwritten", LUR_EFORMAT, "the values of array 'unwritten' were never written"},
                {"nbit", LUR_EUNSUPPORTED, "array 'nbit' uses the filter nbit"},
                {"outside", LUR_EUNSUPPORTED, "link 'outside' uses an object of another file"},
                {"absent", LUR_EFORMAT, "array 'absent' is missing"}};
  hid_t file = create(H5F_LIBVER_LATEST, 0);
  put_virtual(file);
  H5Lcreate_external("/etc/passwd", "/x", file, "outside", H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
  lur_hdf5 *ours = open_file();
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
    CHECK_FAILS(lur_hdf5_values(ours, NULL, arrays[i].name, 4, (float[4]){0}), arrays[i].status, arrays[i].part);
  lur_hdf5_close(ours);
}

/* A pipe is not waited for, a folder is not read, and locks of others do not matter. */
static void test_files(void) {
  lur_hdf5 *file = NULL;
  unlink(file_path);
  CHECK(mkfifo(file_path, 0600) == 0);
  CHECK_FAILS(lur_hdf5_open(file_path, &file), LUR_EIO, "a device or pipe");
  CHECK_FAILS(lur_hdf5_open(folder, &file), LUR_EIO, "a folder");
  H5Fclose(create(H5F_LIBVER_EARLIEST, 0));
  int fd = open(file_path, O_RDWR);
  CHECK(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
  lur_hdf5_close(open_file());
  close(fd);
  hid_t writing = create(H5F_LIBVER_LATEST, 0); /* its superblock has a mark until it is closed */
  H5Fflush(writing, H5F_SCOPE_GLOBAL);
  CHECK_FAILS(lur_hdf5_open(file_path, &file), LUR_EFORMAT, "was not closed by the program that writes it");
  H5Fclose(writing);
}

/* ---- damage ---- */

static void ignore_group(const char *at) { (void)at; }
static void ignore_texts(const char *at, const char *attribute, const lur_strings *strings) {
  (void)at, (void)attribute, (void)strings;
}
static void ignore_values(const char *at, const lur_shape *shape, const float *values) {
  (void)at, (void)shape, (void)values;
}
static void check_message(const char *at, const char *message) {
  (void)at;
  CHECK(message[0] != '\0' && strpbrk(message, "\n\r\t\33") == NULL);
}

#include "tests/interop/hdf5_walk.h"

/* Visits everything in a file and ignores the contents. Returns the duration in milliseconds. */
static double visit(const unsigned char *bytes, size_t count) {
  hdf5_walker walker = {ignore_group, ignore_texts, ignore_values, check_message, 1 << 20, 100};
  struct timespec begin, end;
  unsigned char *copy = malloc(count + 1);
  lur_hdf5 *file = NULL;
  memcpy(copy, bytes, count);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
  if (lur_hdf5_open_bytes("damaged", copy, count, &file) == LUR_OK) walk_group(&walker, file, "/", 0);
  lur_hdf5_close(file);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
  return 1e3 * (double)(end.tv_sec - begin.tv_sec) + 1e-6 * (double)(end.tv_nsec - begin.tv_nsec);
}

static void write_mixture(H5F_libver_t version) {
  hid_t file = create(version, 0);
  put_texts(file, false);
  for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
    if (layouts[i].shape[0] < 1000 && is_known(&layouts[i], version)) put_array(file, &layouts[i], H5T_IEEE_F32LE);
  for (int i = 0; i < 40; i++) {
    char name[16];
    snprintf(name, sizeof name, "g%d", i);
    H5Gclose(H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  }
  H5Fclose(file);
}

/* Every byte changed in turn at a stride, and a file of random changes at many places. */
static void test_noise(void) {
  enum { TRIES = 1500 };
  uint64_t state = 99;
  double slowest = 0;
  for (int v = 0; v < VERSIONS; v++) {
    size_t count = 0;
    write_mixture(versions[v]);
    unsigned char *bytes = slurp(file_path, &count), *noisy = malloc(count);
    CHECK(visit(bytes, count) < 2000);
    for (int i = 0; i < TRIES; i++) {
      memcpy(noisy, bytes, count);
      for (int k = 0; k <= i % 4; k++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(state >> 33) % count;
        noisy[at] = i % 3 == 0   ? (unsigned char)0xff
                    : i % 3 == 1 ? (unsigned char)(noisy[at] ^ 1u << (state >> 20 & 7))
                                 : (unsigned char)(state >> 20);
      }
      double took = visit(noisy, i % 10 == 9 ? (size_t)(state >> 40) % count : count);
      if (took > slowest) slowest = took;
    }
    free(bytes);
    free(noisy);
  }
  CHECK(slowest < 5000);
  printf("hdf5: %d noisy files, the slowest took %.0f ms\n", VERSIONS * TRIES, slowest);
}

static void test_cut(void) {
  for (int v = 0; v < VERSIONS; v++) {
    size_t count = 0;
    lur_hdf5 *file = NULL;
    write_mixture(versions[v]);
    unsigned char *bytes = slurp(file_path, &count);
    for (size_t length = 0; length < count; length += length < 200 ? 1 : 211) {
      unsigned char *part = malloc(length + 1);
      memcpy(part, bytes, length);
      CHECK(lur_hdf5_open_bytes("cut", part, length, &file) == LUR_EFORMAT);
    }
    free(bytes);
  }
}

/* ---- files built to do harm ---- */

typedef struct built {
  unsigned char bytes[4096];
  size_t count;
} built;

static void put(built *file, uint64_t value, int size) {
  for (int i = 0; i < size; i++) file->bytes[file->count++] = (unsigned char)(value >> 8 * i);
}

/* Superblock of version 0 in 96 bytes, the root's header at 96 with `size` bytes of messages to come. */
static void begin(built *file, uint64_t size) {
  *file = (built){0};
  memcpy(file->bytes, "\x89HDF\r\n\x1a\n", 8);
  file->count = 13;
  put(file, 8, 1);
  put(file, 8, 1);
  put(file, 0, 1);
  put(file, 4, 2);
  put(file, 16, 2);
  put(file, 0, 4);
  put(file, 0, 8);
  put(file, UINT64_MAX, 8);
  put(file, sizeof file->bytes, 8);
  put(file, UINT64_MAX, 8);
  put(file, 0, 8);
  put(file, 96, 8);
  file->count = 96;
  put(file, 1, 1);
  put(file, 0, 1);
  put(file, 1, 2);
  put(file, 1, 4);
  put(file, size, 4);
  put(file, 0, 4);
}

static void put_message(built *file, int type, uint64_t size) {
  put(file, (uint64_t)type, 2);
  put(file, size, 2);
  put(file, 0, 4);
}

static lur_status open_built(const built *file, lur_hdf5 **hdf5, lur_hdf5_group **root) {
  unsigned char *bytes = malloc(sizeof file->bytes);
  memcpy(bytes, file->bytes, sizeof file->bytes);
  *hdf5 = NULL;
  CHECK_OK(lur_hdf5_open_bytes("built", bytes, sizeof file->bytes, hdf5));
  return lur_hdf5_group_open(*hdf5, NULL, "/", root);
}

static void test_circles(void) {
  built file;
  lur_hdf5 *hdf5 = NULL;
  lur_hdf5_group *root = NULL;
  begin(&file, 24); /* a continuation that is continued by itself */
  put_message(&file, LUR_HDF5_CONTINUATION, 16);
  put(&file, 112, 8);
  put(&file, 24, 8);
  CHECK_FAILS(open_built(&file, &hdf5, &root), LUR_EFORMAT, "group '/' is damaged: the continuations of its header");
  lur_hdf5_close(hdf5);
  begin(&file, 24); /* a symbol table whose B-tree node, of level 3, is its own child */
  put_message(&file, LUR_HDF5_SYMBOL_TABLE, 16);
  put(&file, 512, 8);
  put(&file, 256, 8);
  file.count = 256;
  memcpy(file.bytes + file.count, "HEAP", 4);
  file.count += 8;
  put(&file, 64, 8);
  put(&file, 1, 8);
  put(&file, 300, 8);
  file.count = 512;
  memcpy(file.bytes + file.count, "TREE\0\3\x20\0", 8);
  file.count += 24;
  for (int i = 0; i < 32; i++) {
    put(&file, 0, 8);
    put(&file, 512, 8);
  }
  CHECK_FAILS(open_built(&file, &hdf5, &root), LUR_EFORMAT, "a node of its B-tree has type 0 and level 3");
  lur_hdf5_close(hdf5);
}

/* Every node of 8 levels has the one below it as its child 20 times: 20^8 visits. */
static void test_wide_tree(void) {
  enum { WIDTH = 20, LEVELS = 8, NODE = 24 + 16 * WIDTH + 8 };
  built file;
  lur_hdf5 *hdf5 = NULL;
  lur_hdf5_group *root = NULL;
  begin(&file, 24);
  put_message(&file, LUR_HDF5_SYMBOL_TABLE, 16);
  put(&file, 512, 8);
  put(&file, 256, 8);
  file.count = 256;
  memcpy(file.bytes + file.count, "HEAP", 4);
  file.count += 8;
  put(&file, 64, 8);
  put(&file, 1, 8);
  put(&file, 300, 8);
  for (int level = LEVELS - 1; level >= 0; level--) {
    file.count = 512 + NODE * (size_t)(LEVELS - 1 - level);
    memcpy(file.bytes + file.count, "TREE", 4);
    file.bytes[file.count + 5] = (unsigned char)level;
    file.bytes[file.count + 6] = WIDTH;
    uint64_t below = level > 0 ? file.count + NODE : 400;
    file.count += 24;
    for (int i = 0; i < WIDTH; i++) {
      put(&file, 0, 8);
      put(&file, below, 8);
    }
  }
  memcpy(file.bytes + 400, "SNOD\1\0\0\0", 8); /* no symbols */
  CHECK_FAILS(open_built(&file, &hdf5, &root), LUR_EFORMAT, "refer to each other too often");
  lur_hdf5_close(hdf5);
}

/* Finds bytes in the file and replaces them; true when they were there once. */
static bool patch(unsigned char *bytes, size_t count, const void *old, const void *new, size_t size) {
  int found = 0;
  for (size_t i = 0; i + size <= count; i++)
    if (memcmp(bytes + i, old, size) == 0) {
      memcpy(bytes + i, new, size);
      found++;
    }
  return found == 1;
}

/* A chunk whose stated size is larger than its bytes can inflate to; one that inflates to more than is stated. */
static void test_bombs(void) {
  static const layout chunk = {"bomb", 2, {23, 29}, {0}, {23, 29}, DEFLATE};
  static const uint32_t real[] = {23, 29, 4}, huge[] = {23, 1u << 24, 4}, large[] = {23, 1u << 17, 4},
                        small[] = {23, 15, 4};
  static const struct {
    const uint32_t *chunk;
    lur_status status;
    const char *part;
  } cases[] = {{huge, LUR_EUNSUPPORTED, "uses chunks of 1543503872 bytes for 2668 bytes of values"},
               {large, LUR_EFORMAT, "compressed bytes cannot be a chunk of"},
               {small, LUR_EFORMAT, "array 'bomb' is damaged"}};
  size_t count = 0;
  hid_t file = create(H5F_LIBVER_EARLIEST, 0);
  put_array(file, &chunk, H5T_IEEE_F32LE);
  H5Fclose(file);
  unsigned char *bytes = slurp(file_path, &count);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    unsigned char *copy = malloc(count);
    float *values = calloc(23 * 29, sizeof *values);
    lur_hdf5 *ours = NULL;
    memcpy(copy, bytes, count);
    CHECK(patch(copy, count, real, cases[i].chunk, sizeof real));
    CHECK_OK(lur_hdf5_open_bytes("bomb", copy, count, &ours));
    CHECK_FAILS(lur_hdf5_values(ours, NULL, "bomb", 23 * 29, values), cases[i].status, cases[i].part);
    lur_hdf5_close(ours);
    free(values);
  }
  free(bytes);
}

/* What a fuzzer found, and the files that it began with: tests/fuzz/seeds/hdf5. */
static void test_seeds(const char *seeds) {
  DIR *entries = opendir(seeds);
  int n = 0;
  if (!CHECK(entries != NULL)) return;
  for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
    char name[512];
    size_t count = 0;
    if (entry->d_name[0] == '.') continue;
    snprintf(name, sizeof name, "%s/%s", seeds, entry->d_name);
    unsigned char *bytes = slurp(name, &count);
    CHECK(count > 0 && visit(bytes, count) < 5000);
    free(bytes);
    n++;
  }
  CHECK(n > 0);
  closedir(entries);
}

int main(int argc, char **argv) {
  if (mkdtemp(folder) == NULL) return 1;
  snprintf(file_path, sizeof file_path, "%s/x.h5", folder);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  test_layouts();
  test_types();
  test_opaque();
  test_groups();
  test_attributes();
  test_refused();
  test_files();
  test_circles();
  test_wide_tree();
  test_bombs();
  test_cut();
  test_noise();
  if (argc > 1) test_seeds(argv[1]);
  unlink(file_path);
  CHECK(rmdir(folder) == 0);
  return check_report("hdf5");
}
