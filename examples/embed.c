/* embed.c - Lurcher in a C program, without Lua: loads a trained model and classifies an image.
 *
 *   build/embed runs/quickstart/run/model.safetensors image.jpg
 *
 * To build a program of your own, in C or in C++, with an installed Lurcher (cmake --install build):
 *
 *   cc mine.c $(pkg-config --cflags --libs lurcher)
 *
 * or, in CMake, find_package(lurcher) and target_link_libraries(mine PRIVATE lurcher::lurcher). It links liblurcher
 * alone. Every function that can fail returns a status; lur_last_error() returns the message. The
 * names of the classes are in the metadata that the recipe saved with the model, a JSON text: this program prints it, a
 * real one would parse it. */
#include <stdio.h>
#include <stdlib.h>

#include <lurcher/lurcher.h>

#define TRY(call)                                             \
  do {                                                        \
    if ((call) != LUR_OK) {                                   \
      fprintf(stderr, "embed: %s\n", lur_last_error());       \
      goto fail;                                              \
    }                                                         \
  } while (0)

int main(int argc, char **argv) {
  int code = 1;
  lur_context *context = NULL;
  lur_compile_options compile = {0}; /* compile.device is owned by the context */
  lur_model *model = NULL;
  lur_run *run = NULL;
  lur_dataset *set = NULL;
  lur_loader_options loading = {0};
  lur_loader *loader = NULL;
  lur_load_field field = {0};
  lur_loaded loaded = {0};
  lur_batch batch = {0};
  lur_tensor *scores = NULL;
  char *metadata = NULL;
  const lur_shape *sample;
  const char *path, *name;
  const float *p;
  int64_t classes, first = 0, best = 0;
  if (argc != 3) {
    fprintf(stderr, "usage: embed MODEL.safetensors IMAGE\n");
    return 2;
  }

  TRY(lur_context_new(0, 0, &context));
  TRY(lur_context_device(context, "auto", &compile.device));
  TRY(lur_model_load(context, argv[1], &model, &metadata));
  TRY(lur_model_compile(model, &compile, &run));

  /* A dataset of one image, a batch of one. The loader preprocesses as in training: decode, resize, scale to -1..1. */
  path = argv[2];
  TRY(lur_dataset_items(1, &path, NULL, NULL, NULL, &set));
  sample = lur_node_shape(lur_model_input(model, 0)); /* height width channels */
  loading.height = (int)sample->dim[0];
  loading.width = (int)sample->dim[1];
  loading.strict = true; /* an image that cannot be read is an error */
  TRY(lur_loader_new(context, set, &loading, &loader));
  field.name = "image";
  field.n = 1;
  field.indices = &first;
  TRY(lur_loader_push(loader, 1, &field));
  TRY(lur_loader_pop(loader, &loaded));

  name = lur_model_input_name(model, 0);
  batch.n = 1;
  batch.names = &name;
  batch.tensors = &loaded.fields[0].images;
  TRY(lur_run_predict(run, &batch, &scores));
  p = (const float *)lur_tensor_data(scores);
  classes = lur_tensor_shape(scores)->dim[1];
  for (int64_t i = 1; i < classes; i++) {
    if (p[i] > p[best]) best = i;
  }
  printf("%s: class %lld of %lld, probability %.4f\n", argv[2], (long long)best, (long long)classes, (double)p[best]);
  printf("metadata of the model: %.200s...\n", metadata);
  code = 0;

fail:
  lur_tensor_release(scores);
  lur_loaded_free(&loaded);
  lur_loader_release(loader);
  lur_dataset_release(set);
  lur_run_release(run);
  lur_model_release(model);
  lur_text_free(metadata);
  lur_context_release(context);
  return code;
}
