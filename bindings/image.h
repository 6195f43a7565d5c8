/* image.h - what image_change.c gives to image.c, which opens lurcher.image. */
#ifndef LUR_BINDINGS_IMAGE_H
#define LUR_BINDINGS_IMAGE_H

#include "args.h"

/* Adds the functions that change an image to the table on top of the stack. */
void lur_add_image_changes(lua_State *L);

#endif
