---@meta
-- models.lua - backbones, require "lurcher.models.xception" and "lurcher.models.inception_v3", and what they are built
-- with, "lurcher.models.builder"; see lurcher.lua for the conventions.

---@class lurcher.backbone_options
---@field size? integer|integer[] side of the square input, or { height, width }; default 299 of Xception and
--- InceptionV3, else 224
---@field channels? integer channels of the input; default 3
---@field width? number multiplier of every layer's channels, which are then rounded to multiples of 8; default 1
---@field bn_momentum? number momentum of the batch norms' moving statistics, from 0 to 1; default 0.99, of MobileNetV2
--- 0.999
---@field epsilon? number added to the variance in the batch norms, above 0; default 0.001, of DenseNet-121 and
--- ResNet-50 1.001e-5
---@field top? boolean ends in avg_pool and a softmax of `classes`; default true
---@field classes? integer classes of the top; default 1000
---@field feature_layer? string last layer, by name ("add_12", "mixed7"); no top then
---@field pooling? "avg"|"max"|"token" pooling over height and width where there is no top; "token", of ViT-S/16: the
--- class token; default: none
---@field input? string name of the input; default "input_1"
---@field prefix? string put before every layer's name, for two backbones in one model; default ""
---@field weights? string file to load: Keras .h5, or .safetensors
---@field partial? boolean weights for one layer of the file are enough; default false

---@class lurcher.xception_options: lurcher.backbone_options
---@field middle? integer blocks of the middle flow, at least 0; default 8

---@class lurcher.inception_v3_options: lurcher.backbone_options
---@field first? integer number of the first conv2d and batch_normalization: 5 where an Xception is in the same model,
--- as in Keras; default 1

---Xception of any width, depth and input size (Chollet, 2016), with the layer names and order of Keras 2.0.6. Returns
---the model, and with `weights` the load report, too.
---
---    local xception = require "lurcher.models.xception"
---    local backbone = xception{ top = false, pooling = "avg", weights = "xception.h5" }
---    local x = backbone(nn.input("image", 299, 299, 3))
---    local model = nn.model{ breed = nn.dense{ 100, activation = "softmax" }(x) }
---@class lurcher.models.xception
---@overload fun(options?: lurcher.xception_options): lurcher.model, lurcher.load_report?
local xception = {}

---InceptionV3 of any width and input size (Szegedy et al., 2015), with the layer names and order of Keras 2.0.6.
---Returns
---the model, and with `weights` the load report, too.
---
---    local inception_v3 = require "lurcher.models.inception_v3"
---    local backbone = inception_v3{ top = false, pooling = "avg", weights = "inception_v3.h5" }
---@class lurcher.models.inception_v3
---@overload fun(options?: lurcher.inception_v3_options): lurcher.model, lurcher.load_report?
local inception_v3 = {}

---@class lurcher.convnext_tiny_options: lurcher.backbone_options
---@field layer_scale? number first value of the factors of every block's output, above 0; default 1e-6

---ConvNeXt-Tiny of any width and input size (Liu et al., A ConvNet for the 2020s, 2022), with the layer names and
---order of
---Keras 3.
---Images are preprocessed as "none": 0 to 255. Returns the model, and with `weights` the load report, too.
---
---    local convnext_tiny = require "lurcher.models.convnext_tiny"
---    local backbone = convnext_tiny{ top = false, pooling = "avg", weights = "convnext_tiny_notop.h5" }
---@class lurcher.models.convnext_tiny
---@overload fun(options?: lurcher.convnext_tiny_options): lurcher.model, lurcher.load_report?
local convnext_tiny = {}

---DenseNet-121 of any width and input size (Huang et al., 2016), with the layer names and order of Keras 3.
---Images are preprocessed as "torch". Returns the model, and with `weights` the load report, too.
---
---    local densenet121 = require "lurcher.models.densenet121"
---    local backbone = densenet121{ top = false, pooling = "avg", weights = "densenet121.h5" }
---@class lurcher.models.densenet121
---@overload fun(options?: lurcher.backbone_options): lurcher.model, lurcher.load_report?
local densenet121 = {}

---EfficientNet-B0 of any width and input size (Tan and Le, 2019), with the layer names and order of Keras 3.
---Images are preprocessed as "none": 0 to 255. Returns the model, and with `weights` the load report, too.
---
---    local efficientnet_b0 = require "lurcher.models.efficientnet_b0"
---    local backbone = efficientnet_b0{ top = false, pooling = "avg", weights = "efficientnetb0_notop.h5" }
---@class lurcher.models.efficientnet_b0
---@overload fun(options?: lurcher.backbone_options): lurcher.model, lurcher.load_report?
local efficientnet_b0 = {}

---MobileNetV2 of any width and input size (Sandler et al., 2018), with the layer names and order of Keras 3.
---Images are preprocessed as "tf". Returns the model, and with `weights` the load report, too.
---
---    local mobilenet_v2 = require "lurcher.models.mobilenet_v2"
---    local backbone = mobilenet_v2{ top = false, pooling = "avg", weights = "mobilenet_v2.h5" }
---@class lurcher.models.mobilenet_v2
---@overload fun(options?: lurcher.backbone_options): lurcher.model, lurcher.load_report?
local mobilenet_v2 = {}

---ResNet-50 of any width and input size (He et al., 2015), with the layer names and order of Keras 3.
---Images are preprocessed as "caffe". Returns the model, and with `weights` the load report, too.
---
---    local resnet50 = require "lurcher.models.resnet50"
---    local backbone = resnet50{ top = false, pooling = "avg", weights = "resnet50.h5" }
---@class lurcher.models.resnet50
---@overload fun(options?: lurcher.backbone_options): lurcher.model, lurcher.load_report?
local resnet50 = {}

---@class lurcher.vit_s16_options: lurcher.backbone_options
---@field depth? integer number of blocks, at least 0; default 12

---The vision transformer ViT-S/16 of any width and input size (Dosovitskiy et al., 2020), with timm's names.
---Images are preprocessed as "tf". Returns the model, and with `weights` the load report, too.
---
---    local vit_s16 = require "lurcher.models.vit_s16"
---    local backbone = vit_s16{ top = false, pooling = "token", weights = "vit_small_patch16_224.safetensors" }
---@class lurcher.models.vit_s16
---@overload fun(options?: lurcher.vit_s16_options): lurcher.model, lurcher.load_report?
local vit_s16 = {}

---What network files share: options and their checks, layers under Keras's names, the cut after any named layer,
---weights. A network is a function that adds layers one after the other.
---
---    return builder.network("tiny", { blocks = { 3, builder.is_count, "integer of at least 0" } }, function(b, x, o)
---      for _ = 1, o.blocks do x = b:relu(b:auto "activation", b:conv(b:auto "conv2d", x, 32, 3, 1, "same")) end
---      return x
---    end)
---@class lurcher.models.builder
local builder = {}
---A function that builds models of a kind from a table of options, those of lurcher.backbone_options and its own.
---@param kind string name of the network, for messages
---@param own table<string, table> the options beyond the common ones: { default, check, what is expected }
---@param walk fun(b: table, x: lurcher.node, o: table): lurcher.node adds the network after the input's node
---@param traits? table what else is its own: `defaults` of common options, `names` (PyTorch's names of the weights),
--- `top(b, x, classes)` and `pool(b, x, mode)`, which add these
---@return fun(options?: table): lurcher.model, lurcher.load_report?
function builder.network(kind, own, walk, traits) end
---A check for options: an integer of at least 0.
---@param value any
---@return boolean
function builder.is_count(value) end
---A check for options: a number above 0.
---@param value any
---@return boolean
function builder.is_positive(value) end
---A list of PyTorch's names to add to: `builder.pytorch_names():conv("conv1", "conv1_conv")`; its `map` is for network.
---@return table
function builder.pytorch_names() end
---Keras's rule for a number of channels that is scaled: a multiple of 8, and not below nine tenths of it.
---@param count number
---@return integer
function builder.divisible(count) end
---Makes a layer of a kind under a name and applies it: `b:layer("fc", nn.dense, { 10 }, x)`.
function builder:layer(name, kind, options, ...) end
---A learned tensor of a shape, normally distributed at first, under a layer's name. Once the network is cut: nil.
function builder:parameter(name, shape, deviation) end
---An activation by its name.
function builder:activation(name, x, function_name) end
---(x - mean) / sqrt(variance), by the means and variances of three channels; x where it has other channels.
function builder:normalization(name, x, mean, variance) end
---Rows and columns of zeros: `before` above and to the left of x, `after` below and to the right.
function builder:pad(name, x, before, after) end
---The zeros that Keras puts around x before a window of an odd side with stride 2.
function builder:pad_for(name, x, side) end
---A copy of PyTorch's names with a prefix before every layer's name.
---@param names table<string, string>
---@param prefix string
---@return table<string, string>
function builder.prefixed(names, prefix) end
---Applies a layer under a Keras name. After the layer to cut after, nothing is applied.
---@param name string
---@param layer lurcher.layer
---@param ... lurcher.node
---@return lurcher.node
function builder:apply(name, layer, ...) end
---The network's channels at the builder's width, in multiples of 8.
---@param count integer
---@return integer
function builder:channels(count) end
---The name that Keras gives the next layer without a name: "conv2d_1".
---@param class string "conv2d"
---@return string
function builder:auto(class) end
---A convolution without bias.
---@param name string
---@param x lurcher.node
---@param filters integer
---@param kernel integer|integer[] a side, or { rows, columns }
---@param stride integer
---@param padding "same"|"valid"
---@return lurcher.node
function builder:conv(name, x, filters, kernel, stride, padding) end
---Batch norm.
---@param name string
---@param x lurcher.node
---@param scale? boolean false: without gamma
---@return lurcher.node
function builder:norm(name, x, scale) end
---An activation: max(x, 0).
---@param name string
---@param x lurcher.node
---@return lurcher.node
function builder:relu(name, x) end
---A pool with a window of 3 x 3.
---@param name string
---@param x lurcher.node
---@param kind function nn.max_pool or nn.avg_pool
---@param stride integer
---@param padding "same"|"valid"
---@return lurcher.node
function builder:window(name, x, kind, stride, padding) end
---Global pooling.
---@param x lurcher.node
---@param mode "avg"|"max"
---@return lurcher.node
function builder:pool(x, mode) end
---Global average pooling, and a softmax over classes.
---@param x lurcher.node
---@param classes integer
---@return lurcher.node
function builder:top(x, classes) end
