"""Compares the functions of lurcher.image with Pillow and torchvision. Not run by tests/run.sh, which needs no Python
package; tests/lua/image.lua holds golden values recorded after this had passed.

    python3 -m venv /tmp/vision && /tmp/vision/bin/pip install torch torchvision pillow
    /tmp/vision/bin/python tests/interop/image_changes.py build/lurcher

A smooth and a noisy image of 61x80 are changed by image_changes.lua in this folder, and here. Printed are the largest
difference of a pixel value and the share of values that differ. Exit code 0: every difference within its bound, 0 where
pixels are moved or looked up, 1 where Lurcher rounds and the others truncate, 2 where the others also truncate on the
way (gray values, means)."""

import os
import subprocess
import sys
import tempfile

import numpy
import PIL
import torch
import torchvision
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

BILINEAR = InterpolationMode.BILINEAR


def pillow(apply):
    return lambda pixels: numpy.asarray(apply(Image.fromarray(pixels)).convert("RGB"))


def tensors(apply):
    return lambda pixels: apply(torch.from_numpy(pixels.copy()).permute(2, 0, 1)).permute(1, 2, 0).numpy()


def padded(mode):
    return lambda pixels: numpy.pad(pixels, ((6, 6), (6, 6), (0, 0)), mode)


def erased(pixels):
    pixels = pixels.copy()
    pixels[10:40, 20:35] = (9, 8, 7)
    return pixels


def pasted(image):
    image = image.copy()
    image.paste(image.crop((0, 0, 30, 20)), (40, -4))
    return image


TIES = 0.1  # %: a nearest pixel may be another one where Pillow's positions, in 16.16 fixed point, round otherwise

CHANGES = {  # name: (function, largest difference)
    "hflip": (pillow(ImageOps.mirror), 0),
    "vflip": (pillow(ImageOps.flip), 0),
    "pad": (pillow(lambda i: ImageOps.expand(i, (5, 3, 0, 7), (10, 20, 30))), 0),
    "pad_nearest": (padded("edge"), 0),
    "pad_reflect": (padded("symmetric"), 0),
    "rotate": (pillow(lambda i: i.rotate(27, Image.BILINEAR)), 1),
    "rotate_back": (pillow(lambda i: i.rotate(-160, Image.BILINEAR, fillcolor=(200, 100, 0))), 1),
    "rotate_nearest": (pillow(lambda i: i.rotate(27, Image.NEAREST)), 255),  # but see TIES
    "quarter": (pillow(lambda i: i.rotate(90, Image.BILINEAR)), 1),  # not square: half a pixel off
    "half": (pillow(lambda i: i.rotate(180)), 0),
    "affine": (pillow(lambda i: F.affine(i, 20, [-7, 4], 1.2, [12, -5], BILINEAR)), 1),
    "brightness": (tensors(lambda t: F.adjust_brightness(t, 1.3)), 1),
    "darkness": (tensors(lambda t: F.adjust_brightness(t, 0.45)), 1),
    "contrast": (tensors(lambda t: F.adjust_contrast(t, 1.6)), 2),
    "saturation": (tensors(lambda t: F.adjust_saturation(t, 0.3)), 2),
    "saturation_more": (tensors(lambda t: F.adjust_saturation(t, 1.9)), 2),
    "hue": (tensors(lambda t: F.adjust_hue(t, 0.12)), 1),
    "hue_back": (tensors(lambda t: F.adjust_hue(t, -0.4)), 1),
    "grayscale": (pillow(lambda i: i.convert("L")), 0),
    "sharpness": (tensors(lambda t: F.adjust_sharpness(t, 2.5)), 1),
    "smoothness": (tensors(lambda t: F.adjust_sharpness(t, 0)), 0),
    "posterize": (pillow(lambda i: ImageOps.posterize(i, 3)), 0),
    "solarize": (pillow(lambda i: ImageOps.solarize(i, 120)), 0),
    "autocontrast": (tensors(F.autocontrast), 1),
    "equalize": (pillow(ImageOps.equalize), 0),
    "blur": (tensors(lambda t: F.gaussian_blur(t, [9, 9], [1.5, 1.5])), 1),
    "blur_wide": (tensors(lambda t: F.gaussian_blur(t, [31, 31], [6.0, 6.0])), 1),
    "erase": (erased, 0),
    "paste": (pillow(pasted), 0),
    "mix": (pillow(lambda i: Image.blend(i, ImageOps.mirror(i), 0.3)), 1),
}


def images():
    rng = numpy.random.default_rng(1)
    y, x = numpy.mgrid[0:61, 0:80]
    waves = [120 + 90 * numpy.sin(x / (9 + c) + c) + 40 * numpy.cos(y / (7 - c)) for c in range(3)]
    return {"smooth": numpy.stack(waves, 2).clip(0, 255).astype(numpy.uint8),
            "noisy": rng.integers(0, 256, (61, 80, 3), dtype=numpy.uint8)}


def main(program):
    print(f"Pillow {PIL.__version__}, torchvision {torchvision.__version__}")
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "image_changes.lua")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, pixels in images().items():
            Image.fromarray(pixels).save(f"{folder}/{name}.png")
        subprocess.run([program, script, folder], check=True)
        for name, pixels in images().items():
            for change, (apply, most) in CHANGES.items():
                got = numpy.asarray(Image.open(f"{folder}/{name}.{change}.png")).astype(int)
                want = apply(pixels).astype(int)
                apart = numpy.abs(got - want) if got.shape == want.shape else numpy.array([999])
                share = 100 * (apart > 0).mean()
                good = apart.max() <= most and (most < 255 or share <= TIES)
                failed += not good
                print(f"{name:7} {change:16} {apart.max():4d} (at most {most})  {share:6.2f} %"
                      f"{'' if good else '  WRONG'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
