--- lurcher.recipe.imagenet: where weights trained on ImageNet lie on this machine (--weights imagenet): in
-- $LURCHER_WEIGHTS, and where Keras and PyTorch keep what they download. Lurcher itself downloads nothing: where there
-- is no file, it says which one to fetch, and how.
-- Names, addresses and MD5 sums are those of Keras 3.5 (keras/src/applications/xception.py and inception_v3.py,
-- WEIGHTS_PATH and file_hash), which publishes no other checksum.

local lfs = require "lfs"
local shell = require "lurcher.shell"

local imagenet = {}

local KERAS <const> = "https://storage.googleapis.com/tensorflow/keras-applications/"

--- Per backbone, its files: name, address and MD5 where Keras publishes it; pickled: of PyTorch, and cannot be read.
-- The first one is what a message tells to fetch.
local files <const> = {
  xception = {
    { name = "xception_weights_tf_dim_ordering_tf_kernels_notop.h5", from = KERAS .. "xception/",
      md5 = "b0042744bf5b25fce3cb969f33bebb97" },
    { name = "xception_weights_tf_dim_ordering_tf_kernels.h5", from = KERAS .. "xception/",
      md5 = "0a58e3b7378bc2990ea3b43d5981f1f6" },
    { name = "xception-43020ad28.pth", pickled = true },
  },
  inception_v3 = {
    { name = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5", from = KERAS .. "inception_v3/",
      md5 = "bcbd6486424b2319ff4ef7d526e38f63" },
    { name = "inception_v3_weights_tf_dim_ordering_tf_kernels.h5", from = KERAS .. "inception_v3/",
      md5 = "9a0d58056eeedaa3f26cb7ebd46da564" },
    { name = "inception_v3_google-0cc3c7bd.pth", pickled = true },
    { name = "inception_v3_google-1a9a5a14.pth", pickled = true },
  },
}

--- The backbones that there are weights for, and their names for people.
imagenet.backbones = { "xception", "inception_v3" }
local titles <const> = { xception = "Xception", inception_v3 = "InceptionV3" }

--- Whether there are known files of a backbone's weights.
function imagenet.knows(backbone) return files[backbone] ~= nil end

--- The folders that are searched, in order: { path =, what = }.
function imagenet.folders()
  local list, home = {}, os.getenv "HOME"
  local own = os.getenv "LURCHER_WEIGHTS"
  if own and own ~= "" then list[1] = { path = own, what = "$LURCHER_WEIGHTS" } end
  if home and home ~= "" then
    list[#list + 1] = { path = home .. "/.keras/models", what = "~/.keras/models" }
    list[#list + 1] = { path = home .. "/.cache/torch/hub/checkpoints", what = "~/.cache/torch/hub/checkpoints" }
  end
  return list
end

--- What is there, in the order of preference: { path =, backbone =, bytes =, pickled = }. backbone: of that one only.
function imagenet.found(backbone)
  local list = {}
  for _, name in ipairs(backbone and { backbone } or imagenet.backbones) do
    for _, folder in ipairs(imagenet.folders()) do
      for _, file in ipairs(files[name]) do
        local path = folder.path .. "/" .. file.name
        local bytes = lfs.attributes(path, "mode") == "file" and lfs.attributes(path, "size")
        if bytes then
          list[#list + 1] = { path = path, backbone = name, bytes = bytes, pickled = file.pickled or false }
        end
      end
    end
  end
  return list
end

--- The command that fetches a backbone's weights and checks them.
function imagenet.command(backbone)
  local file, folders = files[backbone][1], imagenet.folders()
  local target = (folders[1] and folders[1].path or ".") .. "/" .. file.name
  return shell.command("curl -fL --create-dirs -o %s %s && echo %s | md5sum -c -", target, file.from .. file.name,
    ("%s  %s"):format(file.md5, target))
end

--- Lines that say what to fetch for a backbone.
function imagenet.advice(backbone)
  local file = files[backbone][1]
  return ("  file  %s\n  from  %s\n  MD5   %s (Keras publishes no SHA-256)\n  %s"):format(file.name,
    file.from .. file.name, file.md5, imagenet.command(backbone))
end

--- The file of a backbone's weights. Raises where there is none, with what to do. option: that which named it.
function imagenet.file(backbone, option)
  local pickled
  for _, entry in ipairs(imagenet.found(backbone)) do
    if not entry.pickled then return entry.path end
    pickled = pickled or entry.path
  end
  local where = {}
  for i, folder in ipairs(imagenet.folders()) do where[i] = folder.what end
  if not os.getenv "LURCHER_WEIGHTS" then table.insert(where, 1, "$LURCHER_WEIGHTS (not set)") end
  local but = pickled and (" but '%s', a PyTorch pickle, which cannot be read"):format(pickled) or ""
  error(("%s imagenet: no %s weights in %s%s; fetch them:\n%s"):format(option, titles[backbone],
    table.concat(where, ", "), but, imagenet.advice(backbone)), 0)
end

return imagenet
