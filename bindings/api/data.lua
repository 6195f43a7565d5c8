---@meta
-- data.lua - annotations of datasets, loaders, augmentation and images; see lurcher.lua.

---@type lurcher
local lurcher = require "lurcher"

-- ---- data ----

---Datasets and loaders. Images and classes count from 1 here; class and index tensors of batches hold ids from 0.
---@class lurcher.data
lurcher.data = {}
local data = lurcher.data
---Class folders: classes are the subdirectories in byte-wise order ("10" before "2"), images are found recursively.
---@param options string|lurcher.folder_options the folder, or a table with it
---@return lurcher.dataset? set
---@return string? message
---@return string? code "EIO": no such folder; "EFORMAT": no class folder, no image, an unlisted class
function data.folder(options) end

---@class lurcher.folder_options
---@field [1] string the folder
---@field classes? string[] fixes ids; another class found is an error
---@field extensions? string[] without the dot; default jpg jpeg png
---@field rule? string of data.flat: where the class stands in a file's name

---Images of one folder. `rule` finds the class in a file's name: "{class}_{}", "{class}_c{camera}s{}_{}"; other names
---in braces become columns. Without a rule there are no classes.
---@param options string|lurcher.folder_options
---@return lurcher.dataset? set
---@return string? message, string? code
function data.flat(options) end

---@class lurcher.list_options
---@field [1] string the list or CSV file
---@field root? string before relative paths; default: the file's folder
---@field separator? string default ","
---@field header? boolean the first line names columns; default false
---@field path_column? string|integer by name (with a header) or number; default 1
---@field class_column? string|integer default 2 where there is one
---@field classes? string[] fixes ids; another class found is an error

---Images from a list or CSV file, or from a table: data.list{ { "a.jpg", "pug" }, "b.jpg" }.
---@param options string|lurcher.list_options|(string|string[])[]
---@return lurcher.dataset? set
---@return string? message, string? code
function data.list(options) end

---@class lurcher.audit_options
---@field [integer] lurcher.dataset
---@field tiny? integer reports sides below this; default 32
---@field imbalance? number reports classes this many times smaller than the largest; default 10
---@field workers? integer threads; default one a core

---@class lurcher.finding
---@field kind "corrupt"|"extension"|"duplicate"|"class-duplicate"|"split-duplicate"|"tiny"|"imbalance"
---@field text string one line
---@field set integer which of the audited sets
---@field index? integer the image; nil for a class, and for a file that the set leaves out
---@field path? string
---@field name? string
---@field other_set? integer of duplicates: the first of the group
---@field other? integer
---@field other_path? string

---Reads and decodes every image; the result's `checked` is their number, its list what was found.
---@param options lurcher.dataset|lurcher.audit_options
---@return { checked: integer, [integer]: lurcher.finding } findings
function data.audit(options) end
---Batches of a dataset, made by worker threads ahead of time: `for batch in data.loader{ set, size = 299 }:epoch() do`.
---A batch is a table: image (f32 n h w c), class and index (i32 n, from 0; -1: no class), or for another image field
---F: F, F_class, F_index; with mixup or cutmix also target (f32 n classes), F_target; further fields of the sampler (a
---list of whole numbers counts from 1 and becomes an i32 tensor from 0, fractions f32); and what `targets` returns.
---A damaged image is replaced by another of its class and listed in loader.summary.
---@param options lurcher.loader_options
---@return lurcher.loader
function data.loader(options) end

---@class lurcher.cache_options
---@field path string
---@field key string a text of everything that rows depend on besides the images' contents
---@field set lurcher.dataset
---@field shape integer[] of one row
---@field store? "f32"|"f16" default "f32"
---@field views? integer default 1
---@field label? string what rows are, in a few words for people

---A feature cache file: features of a dataset's images, computed once; row (v - 1) * #set + i is view v of image i. It
---is never trusted: rows that are damaged, or whose images have changed, count as missing; in a file of another key,
---all do. It is filled as PATH.part, under a lock, and renamed when it has every row; what a killed process left is
---continued.
---@param options lurcher.cache_options
---@return lurcher.cache
function data.cache(options) end

---@class lurcher.cache_info
---@field label string as it was given
---@field store "f32"|"f16"
---@field shape integer[] of one row
---@field images integer 0: an unfinished file that has no header yet
---@field views integer
---@field bytes integer
---@field seconds number duration of the computation; 0: not known
---@field used number when it was last opened or written, as os.time
---@field part boolean an unfinished file
---@field busy boolean a process has it open, or is filling it

---The header of a cache file, or of an unfinished one (.part).
---@param path string
---@return lurcher.cache_info? info nil: the file is not a feature cache
---@return string? message, string? code
function data.cache_info(path) end
---Removes a cache file, or an unfinished one, unless a process has it open.
---@param path string
---@return boolean? removed false: a process has it open; nil: it could not be removed, or is not a feature cache
---@return string? message, string? code
function data.cache_remove(path) end

---@class lurcher.augment_options
---@field rotate? number default 0: degrees either way
---@field height_shift? number default 0: share of the height either way
---@field width_shift? number default 0: share of the width either way
---@field shear? number default 0: degrees either way; radians in era 2017
---@field zoom? number default 0: rows and columns each by 1 - zoom to 1 + zoom
---@field zoom_min? number default 0: least zoom factor instead (0: by zoom)
---@field zoom_max? number default 0: largest zoom factor instead (0: by zoom)
---@field channel_shift? number default 0: added to channels, of 0..255, either way
---@field hflip? boolean default false: mirror left and right, half of the time
---@field vflip? boolean default false: mirror top and bottom, half of the time
---@field mirror? boolean default false: mirror every image left and right: a view for testing
---@field fill? "nearest"|"constant"|"reflect"|"wrap" default "nearest": what lies outside the image
---@field fill_value? number default 0: for fill = "constant"
---@field interpolation? "auto"|"bilinear"|"nearest" default "auto": auto: bilinear, nearest in era 2017
---@field era? "current"|"2017" default "current": Keras 3's conventions, or Keras 2.0.6's
---@field crop? number default 0: random resized crop: least share of the area (0: none)
---@field crop_max? number default 1: its largest share
---@field crop_ratio? number default 1.3333333333333333: its aspect ratio, 1/r to r
---@field brightness? number default 0: factor 1 - b to 1 + b
---@field contrast? number default 0: factor 1 - c to 1 + c
---@field saturation? number default 0: factor 1 - s to 1 + s
---@field hue? number default 0: turns of the colour circle either way
---@field erase? number default 0: probability that a rectangle is erased
---@field erase_min? number default 0.02: its least share of the area
---@field erase_max? number default 0.33: its largest share
---@field erase_ratio? number default 3.3: its aspect ratio, 1/r to r
---@field erase_value? number default 127.5: what it is filled with
---@field erase_noise? boolean default false: fill it with noise instead
---@field trivial? boolean default false: TrivialAugment: one random change of fourteen
---@field mixup? number default 0: alpha of mixup over the batch (0: none)
---@field cutmix? number default 0: alpha of cutmix over the batch (0: none)
---@field prescale? boolean default true: halve far too large images while decoding

---Changes of images, drawn anew each time an image is loaded: one affine map and one resampling, then colours, in
---Keras's order and meaning (era "2017": Keras 2.0.6's, resizing included). With mixup or cutmix the batch has mixed
---targets. tostring prints what differs from the defaults.
---@param options lurcher.augment_options
---@return lurcher.augment
function data.augment(options) end
---@return { name: string, type: string, default: string, help: string, choices?: string[] }[] options of data.augment
function data.augment_options() end
---A generator whose numbers depend on (seed, stream) alone, for samplers.
---@param seed? integer default: the context's
---@param stream? integer default 0; use the epoch
---@return lurcher.random
function data.random(seed, stream) end
---NumPy's legacy generator (MT19937), to repeat a Keras run draw for draw.
---@param seed integer 0 to 2^32-1
---@return lurcher.numpy_random
function data.numpy_random(seed) end

---@class lurcher.cache
---@field path string
---@field bytes integer of the whole file
---@field size integer rows
---@field note string why an existing file could not be used as it was; "" where it could, or there was none
---@field seconds number duration of the computation; 0: not known
local cache = {}
---Opens the file, verifies every row, and reserves disk space for those that are missing.
---@param wait? number seconds to wait while another process fills the file; default 0
---@return "ready"|"filling"|"busy"? state filling: this process may put the missing rows; nil: the file cannot be made
---@return string? message, string? code
function cache:open(wait) end
---@param first? integer default 1
---@param last? integer default the last row
---@return integer[] rows that are missing
function cache:missing(first, last) end
---While filling: features (f32, a row each) of the rows.
---@param rows lurcher.tensor|integer[]
---@param index lurcher.tensor|integer[] the images that the rows are of, as in a batch
---@param features lurcher.tensor
---@return boolean? ok, string? message, string? code
function cache:put(rows, index, features) end
---Gives the file its final name; no row may be missing. From then on it is ready.
---@param seconds? number duration of the computation; omitted: as it was before
---@return boolean? ok, string? message, string? code
function cache:finish(seconds) end
---@param rows lurcher.tensor|integer[]
---@return lurcher.tensor features f32
function cache:select(rows) end
---@return lurcher.tensor index i32: the image that each row is of, from 0; -1: missing
function cache:index() end
function cache:close() end

---@class lurcher.augment
local augment = {}
function augment:close() end

---@class lurcher.loader_options
---@field [1] lurcher.dataset
---@field size integer|integer[] side, or { height, width }
---@field sampler? function|table an object of lurcher.samplers, or function(epoch, random) that returns an iterator of
--- index tables ({ 3, 1, 2 } or { image = {...}, left = {...} }); default: batches of the whole set
---@field batch? integer default 64
---@field shuffle? boolean default true
---@field drop_last? boolean default false: a last short batch is given
---@field images? string[] fields that are images; default: those whose names begin with image or img
---@field targets? fun(batch: table): table fields to add
---@field augment? lurcher.augment
---@field preprocess? "tf"|"caffe"|"rescale"|"none" default "tf": x / 127.5 - 1
---@field resize? "bilinear"|"nearest" as Pillow's; default "bilinear", in era "2017" "nearest"
---@field era? "current"|"2017" what `resize` defaults to, without augmentation too; default: that of `augment`
---@field channels? integer 3, or 1 for grayscale
---@field exif? boolean turn images as EXIF says; default false
---@field max_pixels? integer larger images count as damaged; default 100 million
---@field workers? integer threads; 0: none; default one a core
---@field prefetch? integer batches ahead; default 4
---@field seed? integer default: the context's
---@field strict? boolean a damaged image raises; default false
---@field random? lurcher.numpy_random to draw from instead of the seed
---@field device? lurcher.device|string where batches go

---print(set) is a summary; #set is set.size.
---@class lurcher.dataset
---@field classes string[]
---@field counts integer[] images of each class
---@field columns string[] further columns, of data.flat
---@field size integer
local dataset = {}
---@param i integer
---@return string
function dataset:path(i) end
---@param i integer
---@return string name relative to the folder: "pug/0a1b.jpg"
function dataset:name(i) end
---@param i integer
---@return integer? class from 1; nil without one
function dataset:class(i) end
---@param i integer
---@param column string
---@return string
function dataset:column(i, column) end
---@return integer[][] lists of images, one a class
function dataset:by_class() end
---@return number[] weights that make every class count alike
function dataset:class_weights() end
---The given images in the given order, or those that a function(name, class, i) says true to; the same classes.
---@param which integer[]|fun(name: string, class: string?, i: integer): boolean
---@return lurcher.dataset
function dataset:subset(which) end
---Two parts: `share` (0.1) of each class chosen by seed (0), or those that `rule` says true to.
---@param options { share?: number, seed?: integer, rule?: fun(name: string, class: string?, i: integer): boolean }
---@return lurcher.dataset rest
---@return lurcher.dataset chosen
function dataset:split(options) end
function dataset:close() end

---@class lurcher.damage an image that could not be read
---@field index integer
---@field times integer rows it was asked for in
---@field fresh boolean not damaged in an earlier epoch
---@field path string
---@field name string
---@field message string

---#loader is the number of batches of an epoch, nil when only the sampler knows. `for batch in loader:epoch() do`,
---`for batch in loader() do` and `for batch in loader do` run through one epoch; leaving the loop frees the workers
---(with the last form at the next epoch, or with the loader).
---@class lurcher.loader
---@field summary? { epoch: integer, batches: integer, damaged: integer, [integer]: lurcher.damage } of the last epoch
---@field set lurcher.dataset
---@field batch integer
---@field seed integer
---@overload fun(): function
local loader = {}
---@param number? integer from 0; default: one more than the last
---@param skip? integer batches drawn but not made: a place in the middle of an epoch
---@return function iterator, nil, nil, table closing what a for loop takes
function loader:epoch(number, skip) end
---@return { epoch: integer, batch: integer } position for resume
function loader:position() end
---The images of the batch that comes next, without taking it; nil while they are made. For run:prefetch.
---@return table<string, lurcher.tensor>?
function loader:peek() end
---The next epoch begins there.
---@param position { epoch: integer, batch: integer }
---@return lurcher.loader self
function loader:resume(position) end
function loader:close() end

---@class lurcher.random
local random = {}
---@return number in [0, 1)
function random:unit() end
---@param low number
---@param high number excluded
---@return number
function random:uniform(low, high) end
---@param n integer
---@return integer from 1 to n
function random:int(n) end
---@param n integer
---@return integer[] list 1 to n in random order
function random:permutation(n) end
---@param list table shuffled in place
---@return table list
function random:shuffle(list) end
function random:close() end

---@class lurcher.numpy_random
local numpy_random = {}
---@param seed integer
---@return lurcher.numpy_random self
function numpy_random:seed(seed) end
---@param low? number default 0
---@param high? number default 1
---@return number
function numpy_random:uniform(low, high) end
---@param n integer
---@return integer[] list 1 to n in NumPy's order
function numpy_random:permutation(n) end
function numpy_random:close() end

-- ---- image ----

---Images: u8 tensors of h x w x 3.
---@class lurcher.image
lurcher.image = {}
local image = lurcher.image
---JPEG or PNG, told by content.
---@param path string
---@param options? { exif?: boolean, max_pixels?: integer } exif: turn as EXIF says (false)
---@return lurcher.tensor? image
---@return string? message, string? code
function image.load(path, options) end
---@param bytes string of a JPEG or PNG file
---@param options? { exif?: boolean, max_pixels?: integer }
---@return lurcher.tensor? image
---@return string? message, string? code
function image.decode(bytes, options) end
---By extension: .png, .jpg, .jpeg; atomic.
---@param path string
---@param image lurcher.tensor u8, or f32 in 0..255, h w 3 or h w 1
---@param options? { quality?: integer } of JPEG, 1 to 100; default 90
---@return boolean? ok, string? message, string? code
function image.save(path, img, options) end
---The bytes of a JPEG or PNG file.
---@param image lurcher.tensor u8, or f32 in 0..255, h w 3 or h w 1
---@param options? { format?: "jpeg"|"png", quality?: integer } "jpeg" of quality 90 by default
---@return string bytes
function image.encode(img, options) end
---Bit-equal to Pillow's.
---@param image lurcher.tensor
---@param height integer
---@param width integer
---@param filter? "bilinear"|"nearest" default "bilinear"
---@return lurcher.tensor
function image.resize(img, height, width, filter) end
---@param image lurcher.tensor
---@param top integer from 1
---@param left integer from 1
---@param height integer
---@param width integer
---@return lurcher.tensor copy
function image.crop(img, top, left, height, width) end
---A batch as one image. low and high: the values that are black and white, -1 and 1 by default ("tf"); u8 is taken as
---it is.
---@param batch lurcher.tensor n h w 3 or n h w 1
---@param options? { low?: number, high?: number, columns?: integer, labels?: string[] } columns: about as many as rows
---@return lurcher.tensor image
function image.montage(batch, options) end
