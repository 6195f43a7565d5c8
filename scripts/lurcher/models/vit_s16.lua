--- lurcher.models.vit_s16: the vision transformer ViT-S/16 of any width and input size (Dosovitskiy et al., An Image is
-- Worth 16x16 Words, 2020; the small one is DeiT's, Touvron et al., 2020), with timm's names and rules
-- (vit_small_patch16_224, timm/models/vision_transformer.py of timm 1.0). Heads for a task are added by the recipe.
--
--     local vit_s16 = require "lurcher.models.vit_s16"
--     local model = vit_s16()                                             -- ImageNet's shape, 1000 classes
--     local backbone = vit_s16{ top = false, pooling = "token", weights = "vit_small_patch16_224.safetensors" }
--     local backbone = vit_s16{ feature_layer = "blocks.8", pooling = "avg" }
--
-- Images: preprocess "tf" (-1 to 1; `lurcher.preprocessing`).
-- Options:
--   size           side of the square input, or { h, w }: multiples of 16; pos_embed has a row for each patch, so
--                  that weights fit only models of their size                                (224)
--   channels       of the input                                                                (3)
--   width          multiplier of the number of heads, 6, each of 64 channels                   (1)
--   depth          number of blocks                                                           (12)
--   top            end in the class token and a softmax of `classes`                        (true)
--   classes        of the top                                                               (1000)
--   feature_layer  last layer, by name ("blocks.8"); no top then                             (nil)
--   pooling        where there is no top, "token": the class token; "avg" or "max": over the patches;
--                  nil: all tokens, of which the first is the class token                     (nil)
--   input          name of the input                                                   ("input_1")
--   prefix         put before every layer's name, for two backbones in one model                 ("")
--   weights        .safetensors file to load: timm's, or Lurcher's                            (nil)
-- Returns the model, and with `weights` the load report too. Raises at the caller's line for unknown options, an
-- unknown feature_layer, or weights that cannot be read.

local nn = require "lurcher".nn
local builder = require "lurcher.models.builder"

local patch <const>, head_channels <const> = 16, 64

local function norm(b, name, x) return b:layer(name, nn.layernorm, { epsilon = 1e-6 }, x) end

--- Multi-head attention of all tokens: n x c to n x c.
local function attention(b, name, x)
  if b.found then return x end
  local tokens, channels = table.unpack(x.shape)
  local heads = channels // head_channels
  local qkv = b:layer(name .. ".qkv", nn.dense, { 3 * channels }, x)
  qkv = b:layer(name .. ".split", nn.reshape, { shape = { tokens, 3, heads, head_channels } }, qkv)
  qkv = b:layer(name .. ".heads", nn.permute, { order = { 2, 3, 1, 4 } }, qkv) -- 3, heads, tokens, channels of a head
  local function part(k, letter)
    local y = b:layer(("%s.%s1"):format(name, letter), nn.slice, { from = k, to = k, axis = 1 }, qkv)
    return b:layer(("%s.%s"):format(name, letter), nn.reshape, { shape = { heads, tokens, head_channels } }, y)
  end
  local q, k, v = part(1, "q"), part(2, "k"), part(3, "v")
  q = b:layer(name .. ".scale", nn.affine, { head_channels ^ -0.5 }, q)
  local weights = b:layer(name .. ".scores", nn.matmul, { transpose_b = true }, q, k)
  x = b:layer(name .. ".mix", nn.matmul, {}, b:activation(name .. ".softmax", weights, "softmax"), v)
  x = b:layer(name .. ".back", nn.permute, { order = { 2, 1, 3 } }, x)
  x = b:layer(name .. ".join", nn.reshape, { shape = { tokens, channels } }, x)
  return b:layer(name .. ".proj", nn.dense, { channels }, x)
end

local function block(b, name, x, channels)
  local y = attention(b, name .. ".attn", norm(b, name .. ".norm1", x))
  x = b:layer(name .. ".add", nn.add, {}, x, y)
  y = b:layer(name .. ".mlp.fc1", nn.dense, { 4 * channels }, norm(b, name .. ".norm2", x))
  y = b:layer(name .. ".mlp.fc2", nn.dense, { channels }, b:activation(name .. ".mlp.act", y, "gelu"))
  return b:layer(name, nn.add, {}, x, y)
end

local function token(b, x)
  x = b:layer("token", nn.slice, { from = 1, to = 1, axis = 1 }, x)
  return b:layer("fc_norm", nn.flatten, {}, x)
end

local function top(b, x, classes) return b:layer("head", nn.dense, { classes, activation = "softmax" }, token(b, x)) end

local function pool(b, x, mode)
  if #x.shape == 3 then return b:pool(x, mode == "max" and "max" or "avg") end -- of patch_embed.proj
  if #x.shape ~= 2 then return x end
  if mode == "token" then return token(b, x) end
  x = b:layer("patches", nn.slice, { from = 2, to = -1, axis = 1 }, x)
  return b:layer(mode .. "_pool", nn.reduce, { mode == "avg" and "mean" or mode, axis = 1 }, x)
end

local function pytorch_names(o)
  local n = builder.pytorch_names():conv("patch_embed.proj", "patch_embed.proj")
  n:weight("cls_token", "cls_token/value"):weight("pos_embed", "pos_embed/value")
  for i = 0, o.depth - 1 do
    for _, name in ipairs{ "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2" } do
      n:conv(("blocks.%d.%s"):format(i, name), ("blocks.%d.%s"):format(i, name))
    end
    for k = 1, 2 do n:norm(("blocks.%d.norm%d"):format(i, k), ("blocks.%d.norm%d"):format(i, k)) end
  end
  return n:norm("norm", "norm"):conv("head", "head").map
end

local function is_pooling(value) return value == "token" or value == "avg" or value == "max" end

--- Builds the model. See the top of the file.
return builder.network("vit_s16", { depth = { 12, builder.is_count, "integer of at least 0" },
  pooling = { nil, is_pooling, '"token", "avg" or "max"' } }, function(b, x, o)
  local channels = head_channels * math.max(1, math.floor(6 * o.width + 0.5))
  x = b:layer("patch_embed.proj", nn.conv2d, { channels, patch, stride = patch }, x)
  if not b.found then
    local patches = x.shape[1] * x.shape[2]
    x = b:layer("patch_embed", nn.reshape, { shape = { patches, channels } }, x)
    local first = b:parameter("cls_token", { 1, channels }, 1e-6)
    x = b:layer("tokens", nn.concat, { axis = 1 }, first, x)
    x = b:layer("pos_drop", nn.add, {}, x, b:parameter("pos_embed", { patches + 1, channels }, 0.02))
  end
  for i = 0, o.depth - 1 do x = block(b, ("blocks.%d"):format(i), x, channels) end
  return norm(b, "norm", x)
end, { names = pytorch_names, top = top, pool = pool, defaults = { size = 224 } })
