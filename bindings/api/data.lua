---@meta
-- data.lua - datasets, loaders, augmentation, feature caches, images; see lurcher.lua for the conventions.

---@type lurcher
local lurcher = require "lurcher"

-- ---- data ----

---Datasets and loaders. In tables and arguments, images and classes count from 1; class and index tensors of batches
---hold ids from 0.
---@class lurcher.data
lurcher.data = {}
local data = lurcher.data
---Images in class folders. The classes are the subfolders, sorted byte by byte ("10" before "2"); their images are
---found recursively.
---@param options string|lurcher.folder_options the folder, or a table that begins with it
---@return lurcher.dataset? set
---@return string? message
---@return string? code "EIO": the folder does not exist; "EFORMAT": no class folder, no image, or a class not in
--- `classes`
---@usage set = assert(data.folder "dogs/train")
function data.folder(options) end

---@class lurcher.folder_options
---@field [1] string the folder
---@field classes? string[] the classes in the order of their ids; a class that is not listed is an error
---@field extensions? string[] of image files, without the dot; default { "jpg", "jpeg", "png" }
---@field hidden? boolean whether to take files and folders that are hidden: names that begin with a dot, and those that
--- systems leave behind (__MACOSX, @eaDir, Thumbs.db, desktop.ini); default false
---@field rule? string for data.flat: where a file's name has the class

---Images of one folder. `rule` describes where a file's name has the class: "{class}_{}", "{class}_c{camera}s{}_{}".
---Other names in braces become columns; {} matches anything. Without a rule there are no classes.
---@param options string|lurcher.folder_options
---@return lurcher.dataset? set
---@return string? message, string? code
function data.flat(options) end

---@class lurcher.list_options
---@field [1] string the list or CSV file
---@field root? string the folder of relative paths; default: that of the file
---@field separator? string one character; default ","
---@field header? boolean whether the first line names the columns; default false
---@field path_column? string|integer column of the paths, by name (with a header) or number; default 1
---@field class_column? string|integer column of the classes; default 2 where there is one
---@field classes? string[] the classes in the order of their ids; a class that is not listed is an error

---Images from a list or CSV file, or from a table of paths and { path, class } pairs: data.list{ { "a.jpg", "pug" },
---"b.jpg" }.
---@param options string|lurcher.list_options|(string|string[])[]
---@return lurcher.dataset? set
---@return string? message, string? code
---@usage set = assert(data.list{ { "a.jpg", "pug" }, { "b.jpg", "boxer" } })
function data.list(options) end

---@class lurcher.audit_options
---@field [integer] lurcher.dataset
---@field tiny? integer reports images with a side of fewer pixels; default 32
---@field imbalance? number reports classes that are this many times smaller than the largest; default 10
---@field workers? integer threads; default: one per core

---@class lurcher.finding
---@field kind "corrupt"|"extension"|"duplicate"|"class-duplicate"|"split-duplicate"|"tiny"|"imbalance"
---@field text string the finding in one line
---@field set integer position of the set among those audited
---@field index? integer the image; nil for a class, and for a file that is not in the set
---@field path? string of the image
---@field name? string of the image, relative to the folder
---@field other_set? integer for a duplicate: the set of the first image of the group
---@field other? integer that image
---@field other_path? string its path

---Looks for faults by decoding every image: data.audit{ train, valid }.
---@param options lurcher.dataset|lurcher.audit_options
---@return { checked: integer, turned: integer, [integer]: lurcher.finding } findings `checked`: number of images
--- decoded;
--- `turned`: number of those with an EXIF orientation that the loader's option `exif` would turn
---@usage for _, finding in ipairs(data.audit{ assert(data.folder "dogs/train") }) do print(finding.text) end
function data.audit(options) end

---Batches of a dataset, prepared by worker threads ahead of time: `for batch in data.loader{ set, size = 299
---}:epoch() do`. A batch is a table of tensors:
--- - `image`: f32, n x height x width x channels
--- - `class`, `index`: i32, n, from 0: the class (-1: none) and the image
--- - `target`: f32, n x classes, with mixup or cutmix only: the mixed classes
--- - for another image field F of the sampler: `F`, `F_class`, `F_index`, `F_target`
--- - further fields of the sampler: a list of whole numbers counts from 1 and becomes i32 from 0; of fractions, f32
--- - the fields that the option `targets` returns
---A damaged image is replaced by another image of the same class and listed in loader.summary.
---@param options lurcher.loader_options
---@return lurcher.loader
function data.loader(options) end
---The options of data.loader.
---@return { name: string, type: string, default: string?, help: string, choices?: string[] }[] options default nil:
--- required
---@usage for _, o in ipairs(data.loader_options()) do print(o.name, o.help) end
function data.loader_options() end

---@class lurcher.cache_options
---@field path string the file
---@field key string names everything that rows depend on, besides the images' contents: weights, preprocessing
---@field set lurcher.dataset the images
---@field shape integer[] extents of one row
---@field store? "f32"|"f16" dtype in the file; default "f32"
---@field views? integer rows per image; default 1
---@field label? string what the rows are, in a few words for people

---A feature cache: a file with features of a dataset's images, computed once. Row (v - 1) * #set + i is view v of
---image i. Everything read is verified: rows that are damaged, or whose images have changed, count as missing, and
---so do all rows of a file with another key. While it is filled, the file is PATH.part and locked; it is renamed
---once every row is there. A later process continues a part that was interrupted.
---@param options lurcher.cache_options
---@return lurcher.cache
function data.cache(options) end

---@class lurcher.cache_info
---@field label string as given to data.cache
---@field store "f32"|"f16"
---@field shape integer[] extents of one row
---@field images integer number of images; 0: a part whose header was not yet written
---@field views integer rows per image
---@field bytes integer size of the file
---@field seconds number time that the computation took; 0: not known
---@field used number time of the last use, in seconds as of os.time
---@field part boolean whether the file is not complete
---@field busy boolean whether a process has it open or is filling it

---Describes the file of a feature cache, complete or not.
---@param path string
---@return lurcher.cache_info? info nil when it is not a feature cache
---@return string? message, string? code
function data.cache_info(path) end
---Removes the file of a feature cache, complete or not, unless a process has it open.
---@param path string
---@return boolean? removed false: a process has it open; nil: it could not be removed, or is not a feature cache
---@return string? message, string? code
function data.cache_remove(path) end

---@class lurcher.augment_options
---@field rotate? number default 0, from 0 to 360: largest rotation in degrees, in either direction
---@field height_shift? number default 0, from 0 to 1: largest vertical shift, as a fraction of the height, in either
--- direction
---@field width_shift? number default 0, from 0 to 1: largest horizontal shift, as a fraction of the width, in either
--- direction
---@field shear? number default 0, from 0 to 90: largest shear angle in degrees (era 2017: radians), in either direction
---@field zoom? number default 0, from 0 to 1: zoom rows and columns independently by 1 - zoom to 1 + zoom
---@field zoom_min? number default 0, from 0 to 10: smallest zoom factor, in place of 1 - zoom (0: use zoom)
---@field zoom_max? number default 0, from 0 to 10: largest zoom factor, in place of 1 + zoom (0: use zoom)
---@field channel_shift? number default 0, from 0 to 255: largest value added to or subtracted from a channel (pixels
--- are 0..255)
---@field hflip? boolean default false: flip horizontally with probability 0.5
---@field vflip? boolean default false: flip vertically with probability 0.5
---@field mirror? boolean default false: flip every image horizontally, as for test-time augmentation
---@field fill? "nearest"|"constant"|"reflect"|"wrap" default "nearest": values of pixels outside the image
---@field fill_value? number default 0, from 0 to 255: pixel value for fill = "constant"
---@field interpolation? "auto"|"bilinear"|"nearest" default "auto": auto: bilinear, or nearest in era 2017
---@field era? "current"|"2017" default "current": current: conventions of Keras 3; 2017: of Keras 2.0.6
---@field crop? number default 0, from 0 to 1: random resized crop: smallest fraction of the area (0: none)
---@field crop_max? number default 1, from 0 to 1: random resized crop: largest fraction of the area
---@field crop_ratio? number default 1.3333333333333333, from 1 to 10: random resized crop: aspect ratio from 1/r to r
---@field brightness? number default 0, from 0 to 1: brightness factor from 1 - b to 1 + b
---@field contrast? number default 0, from 0 to 1: contrast factor from 1 - c to 1 + c
---@field saturation? number default 0, from 0 to 1: saturation factor from 1 - s to 1 + s
---@field hue? number default 0, from 0 to 0.5: largest hue shift, as a fraction of the hue circle, in either direction
---@field erase? number default 0, from 0 to 1: random erasing: probability that a rectangle is erased
---@field erase_min? number default 0.02, from 0 to 1: random erasing: smallest fraction of the area
---@field erase_max? number default 0.33, from 0 to 1: random erasing: largest fraction of the area
---@field erase_ratio? number default 3.3, from 1 to 10: random erasing: aspect ratio from 1/r to r
---@field erase_value? number default 127.5, from 0 to 255: random erasing: pixel value of the rectangle
---@field erase_noise? boolean default false: random erasing: fill the rectangle with noise
---@field trivial? boolean default false: TrivialAugment: one of fourteen operations, chosen at random
---@field mixup? number default 0, from 0 to 100: alpha of mixup within the batch (0: none)
---@field cutmix? number default 0, from 0 to 100: alpha of cutmix within the batch (0: none)
---@field prescale? boolean default true: decode images that are at least twice too large at 1/2 or 1/4 of their size

---Random changes of images, drawn each time an image is loaded: one affine map and one resampling, then colours, in the
---order and with the conventions of Keras (era "2017": those of Keras 2.0.6, resizing included). With mixup or cutmix,
---batches have mixed targets. tostring shows the options that differ from their defaults.
---@param options lurcher.augment_options
---@return lurcher.augment
---@usage augment = data.augment{ rotate = 15, zoom = 0.1, hflip = true }
function data.augment(options) end
---The options of data.augment.
---@return { name: string, type: string, default: string, help: string, choices?: string[] }[]
---@usage for _, o in ipairs(data.augment_options()) do print(o.name, o.help) end
function data.augment_options() end
---The identity of a file for data.loader's `transform`: a hash of its text and of the Lua files that it requires when
---it is loaded. What its function opens later is not in it. Loads the file once; raises where it is not a transform.
---@param file string|table a file, or { file, NAME = value, ... }: the options are in the hash, too
---@return string hash
function data.transform_hash(file) end
---A random generator for samplers: its numbers depend on (seed, stream) alone.
---@param seed? integer default: that of the context
---@param stream? integer default 0; a sampler gives the epoch
---@return lurcher.random
---@usage random = data.random(7, 0)
function data.random(seed, stream) end
---NumPy's legacy generator (MT19937), to draw the same numbers as a Keras run.
---@param seed integer from 0 to 2^32-1
---@return lurcher.numpy_random
---@usage random = data.numpy_random(7)
function data.numpy_random(seed) end

---#cache is cache.size.
---@class lurcher.cache
---@field path string
---@field bytes integer size of the complete file
---@field size integer number of rows: images x views
---@field note string why an existing file could not be used as it was; "" where it could, or there was none
---@field seconds number time that the computation took, as given to finish; 0: not known
local cache = {}
---Opens the file, verifies its rows, and reserves disk space for missing ones.
---@param wait? number seconds to wait while another process fills the file; default 0
---@return "ready"|"filling"|"busy"? state filling: rows are missing, to be put by the caller; busy: another process
--- fills
--- the file; nil: it cannot be created
---@return string? message, string? code
function cache:open(wait) end
---Rows that are missing, of a range.
---@param first? integer default 1
---@param last? integer default: the last row
---@return integer[] rows
function cache:missing(first, last) end
---Stores rows, in the state "filling".
---@param rows lurcher.tensor|integer[]
---@param index lurcher.tensor|integer[] the images whose features these are, as in a batch (replaced images included)
---@param features lurcher.tensor f32, one row per entry of `rows`
---@return boolean? ok, string? message, string? code
function cache:put(rows, index, features) end
---Completes the file, when no row is missing: the state becomes "ready".
---@param seconds? number time that the computation took; default: as known before
---@return boolean? ok, string? message, string? code
function cache:finish(seconds) end
---Reads rows, in the state "ready".
---@param rows lurcher.tensor|integer[]
---@return lurcher.tensor features f32
function cache:select(rows) end
---The image whose features each row holds.
---@return lurcher.tensor index i32, from 0; -1: missing
function cache:index() end
---Closes the file.
function cache:close() end

---What data.augment returns: random changes of images, for the loader. Its text has the options.
---@class lurcher.augment
local augment = {}
---Frees the handle.
function augment:close() end

---What a transform knows of its image.
---@class lurcher.image_info
---@field index integer the image, from 1; where a damaged image was replaced, the replacement
---@field epoch integer as in loader:epoch(number), from 0
---@field draw integer 1 for the image's first appearance in the epoch, 2 for its second, ...
---@field class? integer from 1; nil when it has none
---@field class_name? string
---@field path string
---@field name string as of set:name
---@field width integer of the image in its file, in pixels
---@field height integer
---@field columns table<string, string> the values of set.columns

---@class lurcher.loader_options
---@field [1] lurcher.dataset
---@field size integer|integer[] side of the images in pixels, or { height, width }
---@field sampler? table|function|thread draws the indices of batches: an object of lurcher.samplers, or
--- function(epoch, random) that returns an iterator, or an iterator or coroutine of its own; a batch is a list { 3, 1,
--- 2 }, or fields { image = {...}, left = {...} }; default: the whole set, by batch, shuffle and drop_last
---@field batch? integer images per batch, without a sampler; default 64
---@field shuffle? boolean a new random order in every epoch, without a sampler; default true
---@field drop_last? boolean leaves out a last batch that is not full; default false
---@field images? string[] the sampler's fields that are images; default: names that begin with image or img
---@field targets? fun(batch: table): table function(batch) that returns a table of fields to add to the batch
---@field augment? lurcher.augment random changes of images: data.augment{...}
---@field transform? string|table|fun(image: lurcher.tensor, random: lurcher.random, info: lurcher.image_info):any
--- changes images in Lua, after augment: a Lua file that returns function(image, random, info), which the workers run,
--- or such a function, which the main thread runs; see lurcher.loader
---@field preprocess? "tf"|"caffe"|"rescale"|"none"|"torch" tf: x / 127.5 - 1; caffe: BGR minus ImageNet's means;
--- rescale: x / 255; none: x; torch: x / 255, normalised by ImageNet's mean and standard deviation; default "tf"
---@field resize? "bilinear"|"nearest"|"bilinear-13" resampling filter, Pillow's; default nearest in era 2017, else
--- bilinear
---@field era? "current"|"2017" Keras version whose resampling is the default of resize; default: the era of `augment`
---@field channels? integer 3, or 1 for grayscale; default 3
---@field exif? boolean rotates and mirrors images by their EXIF orientation; default false
---@field max_pixels? integer an image with more pixels counts as damaged; default 100000000
---@field workers? integer threads that read and decode images; 0: the main thread does; default: one per core
---@field prefetch? integer batches prepared ahead; default 4
---@field seed? integer order and augmentation follow from it; default: that of the context
---@field strict? boolean a damaged image raises instead of being replaced; default false
---@field random? lurcher.numpy_random NumPy's generator to draw from instead of the seed
---@field device? lurcher.device|string where the images of a batch are put; default: the host

---A list of image files with classes. print(set) shows a summary; #set is set.size.
---@class lurcher.dataset
---@field classes string[] names of the classes
---@field counts integer[] number of images per class
---@field columns string[] names of further columns, from the rule of data.flat
---@field ignored string[] paths of files in its folders that were not taken because of their extension
---@field loose string[] paths of images beside the class folders, which have no class and were not taken
---@field size integer number of images
local dataset = {}
---The path of an image.
---@param i integer from 1
---@return string
function dataset:path(i) end
---The name of an image: its path relative to the folder.
---@param i integer from 1
---@return string name "pug/0a1b.jpg"
function dataset:name(i) end
---The class of an image.
---@param i integer from 1
---@return integer? class from 1; nil when it has none
function dataset:class(i) end
---An image's value in a further column.
---@param i integer from 1
---@param column string
---@return string
function dataset:column(i, column) end
---The images of every class.
---@return integer[][] lists one list per class
function dataset:by_class() end
---Weights under which every class counts alike: size / (number of classes x images of the class); 0 for an empty class.
---@return number[]
function dataset:class_weights() end
---A dataset of the same classes with some of the images: those listed, in that order, or those for which a function
---returns true.
---@param which integer[]|fun(name: string, class: string?, i: integer): boolean
---@return lurcher.dataset
function dataset:subset(which) end
---Two parts: `share` (0.1) of every class, chosen by `seed` (0), or the images for which `rule` returns true; and
---the rest.
---@param options { share?: number, seed?: integer, rule?: fun(name: string, class: string?, i: integer): boolean }
---@return lurcher.dataset rest
---@return lurcher.dataset chosen
function dataset:split(options) end
---Frees the list of images.
function dataset:close() end

---@class lurcher.damage an image that could not be read
---@field index integer the image, from 1
---@field times integer rows of the epoch in which it was replaced
---@field fresh boolean whether it was not damaged in earlier epochs
---@field path string
---@field name string
---@field message string what is wrong with it

---A **transform** is function(image, random, info) that returns the image, changed or not. `image` is a u8 tensor,
---height x width x 3 (RGB), of the loader's size: after decoding, resize and `augment`, and before preprocess, mixup
---and cutmix. With channels = 1 its three channels are equal, and what is returned becomes gray again. It must return
---a tensor of the same shape: u8, or f32 with values from 0 to 255. Without a transform, `augment` resamples to f32;
---with one, its results are rounded to u8. lurcher.image has the usual changes.
---
---    -- my_augment.lua, for transform = "my_augment.lua" or transform = { "my_augment.lua", degrees = 20 }
---    local options = ...
---    local image, degrees = require "lurcher.image", options.degrees or 15
---    return function(img, random, info)
---      if random:boolean() then img = image.flip(img) end
---      img = image.rotate(img, random:uniform(-degrees, degrees), { fill = "reflect" })
---      return image.brightness(img, random:uniform(0.8, 1.2))
---    end
---
---`random` is a lurcher.random whose numbers depend only on the loader's seed, the epoch, the requested image and its
---draw; it is closed when the function returns. The images are the same with any number of workers.
---
---As **a file** ("my_augment.lua", or { "my_augment.lua", NAME = value, ... }, whose options are the table `...` in
---it: texts, numbers, booleans and tables of these), it is read and loaded once when the loader is made, which
---reports its mistakes, and is then run by every worker thread in a Lua state of its own, with Lua's libraries and
---`lurcher`; with workers = 0, by the main thread, in such a state too. math.random, lurcher.uniform and the like are
---seeded for each image. `require` looks beside the file first. Each worker has one compute thread. What belongs to
---the main script raises: lurcher.nn, lurcher.optim, lurcher.fit, loaders, audit and feature caches, devices,
---os.exit, os.setlocale. States live as long as the loader; after an error the next epoch gets new ones. What a file
---keeps in variables from image to image is its author's responsibility: each worker has its own copy, and which
---worker gets which image is not fixed. Nor is the order of pairs() over names.
---
---As **a function**, it runs on the main thread, in the loop's own state, where it can use all that the script has;
---the workers still read, decode and augment. It takes the time of the training loop, and loader:peek() finds nothing
---ready. math.random is the script's own there.
---
---An error in it, or a wrong result, ends the epoch as other errors of the loader do: "my_augment.lua:4: ... (image
---'pug/1.jpg', epoch 0)". Ctrl-C ends a file's call that never returns, after a second.
---
---| what | where it runs |
---|---|
---| sampler, up to `prefetch` batches ahead of the loop; `targets` | the main thread, in the script's state |
---| a transform that is a function | the same |
---| reading, decoding, resize, `augment`, mixup, cutmix | the workers, in C; with workers = 0 the main thread |
---| a transform that is a file | the workers, each in a state of its own; with workers = 0 the main thread, so too |
---
---`for batch in loader:epoch() do`, `for batch in loader() do` and `for batch in loader do` run through one epoch.
---Leaving the loop stops the workers; with the last form they stop when the next epoch begins or the loader is
---closed. An iterator is stale, and raises, once a newer epoch has begun. #loader is the number of batches per
---epoch, nil when only the sampler knows.
---@class lurcher.loader
---@field summary? { epoch: integer, batches: integer, damaged: integer, [integer]: lurcher.damage } of the last epoch
--- that ended: its number, its batches, the rows with a replaced image, and the damaged images
---@field set lurcher.dataset
---@field batch integer images per batch
---@field seed integer
---@overload fun(): function
local loader = {}
---Begins an epoch.
---@param number? integer from 0; default: one more than the last
---@param skip? integer batches to skip, without decoding their images; default 0
---@return function iterator, nil, nil, table closing the four values of a for loop
function loader:epoch(number, skip) end
---Where the loader is: between epochs, the beginning of the next one.
---@return { epoch: integer, batch: integer } position for resume
function loader:position() end
---The images of the next batch, without taking it; nil while they are not ready. For run:prefetch.
---@return table<string, lurcher.tensor>? images by field
function loader:peek() end
---Makes the next epoch begin at a position.
---@param position { epoch: integer, batch: integer } as loader:position() returns it
---@return lurcher.loader self
function loader:resume(position) end
---Stops the workers and frees their memory.
function loader:close() end

---A random generator of data.random, or the second argument of a sampler or of a transform. Its numbers depend on its
---seeds alone.
---@class lurcher.random
local random = {}
---A uniform random number from 0 to 1, 1 excluded.
---@return number x in [0, 1)
---@usage x = random:unit()
function random:unit() end
---A uniform random number of a range.
---@param low? number default 0
---@param high? number excluded; default 1
---@return number
---@usage x = random:uniform(-1, 1)
function random:uniform(low, high) end
---A random integer from 1 to n.
---@param n integer at least 1
---@return integer i from 1 to n
---@usage i = random:int(6)
function random:int(n) end
---An integer of a range; random:integer(high) is one from 1 to high.
---@param low integer
---@param high? integer included
---@return integer
---@usage i = random:integer(5, 10)
function random:integer(low, high) end
---A number of the normal distribution.
---@param mean? number default 0
---@param std? number default 1
---@return number
---@usage x = random:normal(0, 0.1)
function random:normal(mean, std) end
---True with a probability.
---@param probability? number from 0 to 1; default 0.5
---@return boolean
---@usage if random:boolean(0.3) then img = image.flip(img) end
function random:boolean(probability) end
---One element of a list, all equally likely.
---@param list table
---@return any
---@usage name = random:choice{ "pug", "boxer" }
function random:choice(list) end
---The numbers from 1 to n in random order.
---@param n integer
---@return integer[] list 1 to n in random order
---@usage order = random:permutation(10)
function random:permutation(n) end
---Shuffles a list in place.
---@param list table
---@return table list
---@usage random:shuffle{ 1, 2, 3 }
function random:shuffle(list) end
---Frees the generator.
function random:close() end

---NumPy's numpy.random.RandomState: equal seeds give equal numbers.
---@class lurcher.numpy_random
local numpy_random = {}
---Starts the sequence of a seed.
---@param seed integer from 0 to 2^32-1
---@return lurcher.numpy_random self
function numpy_random:seed(seed) end
---A uniform random number of a range, as NumPy's.
---@param low? number default 0
---@param high? number default 1
---@return number
function numpy_random:uniform(low, high) end
---The numbers from 1 to n in NumPy's random order.
---@param n integer
---@return integer[] list 1 to n in NumPy's order
function numpy_random:permutation(n) end
---Frees the generator.
function numpy_random:close() end

-- ---- image ----

---Image files. An image is a u8 tensor, height x width x 3, RGB.
---@class lurcher.image
lurcher.image = {}
local image = lurcher.image
---Decodes a JPEG or PNG file; the format follows from its content.
---@param path string
---@param options? { exif?: boolean, max_pixels?: integer } exif (false): rotates and mirrors the image by its EXIF
--- orientation; max_pixels (100 million): refuses a larger image
---@return lurcher.tensor? image
---@return string? message, string? code
---@usage img = assert(image.load("pug.jpg", { exif = true }))
function image.load(path, options) end
---Decodes the bytes of a JPEG or PNG file.
---@param bytes string
---@param options? { exif?: boolean, max_pixels?: integer } as of load
---@return lurcher.tensor? image
---@return string? message, string? code
---@usage img = assert(image.decode(image.encode(img)))
function image.decode(bytes, options) end
---Writes an image file atomically. The format follows from the extension: .png, .jpg or .jpeg.
---@param path string
---@param img lurcher.tensor u8, or f32 in 0..255; height x width x 3, or x 1 for grayscale
---@param options? { quality?: integer } quality of a JPEG: 1 to 100, default 90
---@return boolean? ok, string? message, string? code
---@usage assert(image.save("pug.png", img))
function image.save(path, img, options) end
---The bytes of a JPEG or PNG file.
---@param img lurcher.tensor u8, or f32 in 0..255; height x width x 3, or x 1 for grayscale
---@param options? { format?: "jpeg"|"png", quality?: integer } default "jpeg", 90
---@return string bytes
---@usage bytes = image.encode(img, { format = "png" })
function image.encode(img, options) end
---Resamples an image, bit-equal to Pillow: "bilinear" to versions 4.0 to 12.3, "bilinear-13" to 13.0, which rounds in
---another order for some sizes.
---@param img lurcher.tensor
---@param height integer
---@param width integer
---@param filter? "bilinear"|"nearest"|"bilinear-13" default "bilinear"
---@return lurcher.tensor
---@usage image.resize(img, 299, 299)
function image.resize(img, height, width, filter) end
---Copies a part of an image.
---@param img lurcher.tensor
---@param top integer first row, from 1
---@param left integer first column, from 1
---@param height integer
---@param width integer
---@return lurcher.tensor
---@usage image.crop(img, 1, 1, 8, 8)
function image.crop(img, top, left, height, width) end

-- Changes. Each takes a u8 image, height x width x 3, and returns a new one; rows and columns count from 1. They are
-- compared with Pillow 13.0 and torchvision 0.29 by tests/interop/image_changes.py: where pixels are moved or looked up
-- they are equal; where values are blended Lurcher rounds to the nearest and the others truncate, 1 apart.

---A mirrored image, as Pillow's ImageOps.mirror, or flip.
---@param img lurcher.tensor
---@param direction? "horizontal"|"vertical" default "horizontal"
---@return lurcher.tensor
---@usage image.flip(img)
function image.flip(img, direction) end
---An image with more rows and columns. fill: a pixel value, a colour { red, green, blue }, "nearest" (the edge's
---pixels; NumPy's "edge") or "reflect" (mirrored: c b a | a b c; NumPy's and torchvision's "symmetric").
---@param img lurcher.tensor
---@param options { top?: integer, left?: integer, bottom?: integer, right?: integer, all?: integer, fill?: any } in
--- pixels; `all` (0): of the sides that are not given; fill: default 0, black
---@return lurcher.tensor
---@usage image.pad(img, { all = 4, fill = "reflect" })
function image.pad(img, options) end
---A rotated image of the same size, as Pillow's Image.rotate.
---@param img lurcher.tensor
---@param degrees number counter-clockwise, about the centre
---@param options? { filter?: "bilinear"|"nearest", fill?: number|number[]|"nearest"|"reflect" } filter: default
--- "bilinear"; fill: see image.pad
---@return lurcher.tensor
---@usage image.rotate(img, 15, { fill = "reflect" })
function image.rotate(img, degrees, options) end
---A rotated, shifted, scaled and sheared image of the same size, resampled once: torchvision's functional.affine, but
---counter-clockwise, and pairs are { down, right }. Without antialiasing: reduce with image.resize.
---@param img lurcher.tensor
---@param options { rotate?: number, shift?: number[], scale?: number, shear?: number[], filter?: string, fill?: any }
--- rotate (0): degrees; shift ({ 0, 0 }): pixels; scale (1): 2 is twice as large; shear ({ 0, 0 }): degrees; filter,
--- fill: as of image.rotate
---@return lurcher.tensor
---@usage image.affine(img, { rotate = 10, scale = 1.1, shift = { 0, 4 } })
function image.affine(img, options) end
---Pixel values times a factor, cut at 255, as torchvision's adjust_brightness.
---@param img lurcher.tensor
---@param factor number 0: black; 1: unchanged
---@return lurcher.tensor
---@usage image.brightness(img, 1.2)
function image.brightness(img, factor) end
---Blends with the mean gray value, as torchvision's adjust_contrast.
---@param img lurcher.tensor
---@param factor number 0: gray; 1: unchanged
---@return lurcher.tensor
---@usage image.contrast(img, 0.8)
function image.contrast(img, factor) end
---Blends with the pixel's own gray value, as torchvision's adjust_saturation.
---@param img lurcher.tensor
---@param factor number 0: grayscale; 1: unchanged
---@return lurcher.tensor
---@usage image.saturation(img, 1.5)
function image.saturation(img, factor) end
---Turns the hue, as torchvision's adjust_hue.
---@param img lurcher.tensor
---@param shift number from -0.5 to 0.5: a fraction of the hue circle
---@return lurcher.tensor
---@usage image.hue(img, 0.1)
function image.hue(img, shift) end
---Blends with a smoothed image, as torchvision's adjust_sharpness; the outermost pixels stay.
---@param img lurcher.tensor
---@param factor number 0: smoothed; 1: unchanged; above 1: sharper
---@return lurcher.tensor
---@usage image.sharpness(img, 2)
function image.sharpness(img, factor) end
---Keeps the upper bits of each value, as Pillow's ImageOps.posterize.
---@param img lurcher.tensor
---@param bits integer 1 to 8
---@return lurcher.tensor
---@usage image.posterize(img, 4)
function image.posterize(img, bits) end
---Inverts values from a threshold on, as Pillow's ImageOps.solarize.
---@param img lurcher.tensor
---@param threshold number 0 (all) to 256 (none)
---@return lurcher.tensor
---@usage image.solarize(img, 128)
function image.solarize(img, threshold) end
---Stretches each channel to 0..255, as torchvision's autocontrast.
---@param img lurcher.tensor
---@return lurcher.tensor
---@usage image.autocontrast(img)
function image.autocontrast(img) end
---Equalises the histogram of each channel, as Pillow's ImageOps.equalize.
---@param img lurcher.tensor
---@return lurcher.tensor
---@usage image.equalize(img)
function image.equalize(img) end
---Three equal channels of gray, as Pillow's convert("L").
---@param img lurcher.tensor
---@return lurcher.tensor
---@usage image.grayscale(img)
function image.grayscale(img) end
---Gaussian blur, as torchvision's gaussian_blur.
---@param img lurcher.tensor
---@param sigma number standard deviation in pixels, above 0
---@param kernel? integer size in pixels, odd; default 2 * ceil(3 * sigma) + 1
---@return lurcher.tensor
---@usage image.blur(img, 1.5)
function image.blur(img, sigma, kernel) end
---A random box within an image, for image.crop, image.erase and image.paste: its area is uniform between two shares of
---the image's, the logarithm of its aspect ratio uniform, its place uniform. The defaults are those of random erasing
---(Zhong et al. 2017); a random resized crop is { min = 0.08, max = 1, ratio = 4 / 3 }.
---
---    local top, left, height, width = image.random_box(random, 299, 299, { min = 0.5, max = 1, ratio = 4 / 3 })
---    img = image.resize(image.crop(img, top, left, height, width), 299, 299)
---@param random lurcher.random
---@param height integer of the image
---@param width integer
---@param options? { min?: number, max?: number, ratio?: number } shares of the area (0.02, 1/3); width / height is from
--- 1 / ratio to ratio (3.3)
---@return integer top, integer left, integer height, integer width
function image.random_box(random, height, width, options) end
---An image with a box filled with a colour, or with noise from a generator.
---@param img lurcher.tensor
---@param top integer first row, from 1
---@param left integer first column, from 1
---@param height integer
---@param width integer
---@param colour? number|number[]|lurcher.random a pixel value or { red, green, blue }; default 0
---@return lurcher.tensor
---@usage image.erase(img, 2, 2, 8, 8, { 127, 127, 127 })
function image.erase(img, top, left, height, width, colour) end
---An image with another one over it; what exceeds the first is dropped, as in Pillow's Image.paste.
---@param img lurcher.tensor
---@param over lurcher.tensor
---@param top integer row of its first row; may be below 1
---@param left integer column of its first column; may be below 1
---@param opacity? number 0 to 1, default 1
---@return lurcher.tensor
---@usage image.paste(img, image.flip(img), 4, 4, 0.5)
function image.paste(img, over, top, left, opacity) end
---A blend of two images of one size: img * (1 - share) + other * share, as Pillow's Image.blend.
---@param img lurcher.tensor
---@param other lurcher.tensor
---@param share number 0 to 1
---@return lurcher.tensor
---@usage image.mix(img, image.flip(img), 0.3)
function image.mix(img, other, share) end
---The images of a batch side by side in one image, for looking at them.
---@param batch lurcher.tensor n x height x width x 3, or x 1
---@param options? { low?: number, high?: number, columns?: integer, labels?: string[] } low (-1) and high (1): values
--- shown black and white, those of preprocess "tf"; u8 is shown as it is; columns: default as many as rows; labels:
--- texts of the images
---@return lurcher.tensor image
---@usage image.montage(lurcher.stack{ img, img })
function image.montage(batch, options) end
