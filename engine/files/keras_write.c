/* keras_write.c - writes a model's weights in the layout of Keras 2's save_weights (see keras_read.c), which
 * load_weights of every Keras version reads, by order and by name. Lists of names are strings of fixed length: old
 * versions of Keras decode them from bytes, and newer h5py returns only those as bytes. The file is made in memory and
 * written at once. */
#include <stdlib.h>
#include <string.h>

#include "h5.h"

static lur_status put_array(const lur_h5 *h5, hid_t group, const char *name, lur_tensor *weight) {
  const lur_shape *shape = lur_tensor_shape(weight);
  hsize_t extents[LUR_MAX_DIMS];
  for (int i = 0; i < shape->ndim; i++) extents[i] = (hsize_t)shape->dim[i];
  hid_t links = H5Pcreate(H5P_LINK_CREATE), dataset = H5I_INVALID_HID;
  hid_t space = shape->ndim == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(shape->ndim, extents, NULL);
  bool good = links >= 0 && space >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0;
  if (good) dataset = H5Dcreate2(group, name, H5T_IEEE_F32LE, space, links, H5P_DEFAULT, H5P_DEFAULT);
  good =
      dataset >= 0 && H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, lur_tensor_data(weight)) >= 0;
  lur_status status = good ? LUR_OK : lur_h5_fail(h5, "cannot write the array", name);
  if (dataset >= 0) H5Dclose(dataset);
  if (space >= 0) H5Sclose(space);
  if (links >= 0) H5Pclose(links);
  return status;
}

/* The weight in host memory; the caller releases it. */
static lur_status host_copy(lur_tensor *weight, lur_tensor **host) {
  if (lur_tensor_data(weight) != NULL) {
    lur_tensor_retain(weight);
    *host = weight;
    return LUR_OK;
  }
  lur_device *cpu = NULL;
  LUR_TRY(lur_context_device(lur_tensor_context(weight), "cpu", &cpu));
  return lur_tensor_to(weight, cpu, host);
}

static lur_status put_weights(const lur_h5 *h5, hid_t group, const lur_layer *layer, char **names) {
  int n = lur_layer_weight_count(layer);
  for (int k = 0; k < n; k++) {
    lur_lines name = {0};
    lur_tensor *host = NULL;
    lur_lines_add(&name, "%s/%s:0", lur_layer_name(layer), lur_layer_weight_name(layer, k));
    LUR_TRY(lur_lines_take(&name, &names[k]));
    LUR_TRY(host_copy(lur_layer_weight(layer, k), &host));
    lur_status status = put_array(h5, group, names[k], host);
    lur_tensor_release(host);
    LUR_TRY(status);
  }
  return lur_h5_put_strings(h5, group, "weight_names", n, (const char *const *)names);
}

static lur_status put_layer(const lur_h5 *h5, const lur_layer *layer) {
  char *names[LUR_MAX_WEIGHTS] = {0};
  if (strchr(lur_layer_name(layer), '/') != NULL)
    return lur_fail(LUR_EARG, "cannot write '%s': the layer name '%s' contains a '/', which HDF5 group names cannot",
                    h5->path, lur_layer_name(layer));
  hid_t group = H5Gcreate2(h5->file, lur_layer_name(layer), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  if (group < 0) return lur_h5_fail(h5, "cannot write the layer", lur_layer_name(layer));
  lur_status status = put_weights(h5, group, layer, names);
  for (int k = 0; k < LUR_MAX_WEIGHTS; k++) free(names[k]);
  H5Gclose(group);
  return status;
}

static lur_status put_model(const lur_h5 *h5, const lur_model *model, const char **names) {
  static const char *const backend = "tensorflow", *const version = "2.0.6"; /* that the layout is from */
  int n = lur_model_layer_count(model);
  for (int i = 0; i < n; i++) {
    names[i] = lur_layer_name(lur_model_layer(model, i));
    LUR_TRY(put_layer(h5, lur_model_layer(model, i)));
  }
  hid_t root = H5Gopen2(h5->file, "/", H5P_DEFAULT);
  if (root < 0) return lur_h5_fail(h5, "cannot write", "/");
  lur_status status = lur_h5_put_strings(h5, root, "layer_names", n, names);
  if (status == LUR_OK) status = lur_h5_put_strings(h5, root, "backend", -1, &backend);
  if (status == LUR_OK) status = lur_h5_put_strings(h5, root, "keras_version", -1, &version);
  H5Gclose(root);
  return status;
}

lur_status lur_keras_save(const lur_model *model, const char *path) {
  lur_h5 h5;
  const char **names = NULL;
  void *bytes = NULL;
  size_t count = 0;
  LUR_TRY(lur_alloc_items((size_t)lur_model_layer_count(model) + 1, sizeof *names, &names));
  lur_status status = lur_h5_create(path, &h5);
  if (status == LUR_OK) {
    status = put_model(&h5, model, names);
    if (status == LUR_OK) status = lur_h5_image(&h5, &bytes, &count);
    lur_h5_close(&h5);
  }
  if (status == LUR_OK) status = lur_file_write(path, bytes, count);
  free(bytes);
  free(names);
  return status;
}
