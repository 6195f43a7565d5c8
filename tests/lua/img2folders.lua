--- Tests of the recipe img2folders, run as a command: which image goes where, that nothing is overwritten, and that a
-- second run completes an interrupted one.
local harness = require "harness"
local lfs = require "lfs"
local test = harness.test

local work = harness.folder "img2folders"

local run, refuse, read = harness.commands(work)
local function succeeds(words) return run("img2folders " .. words) end
local function complains(texts, words) refuse(1, texts, "img2folders " .. words) end

local function write(path, text)
  local file = assert(io.open(work .. "/" .. path, "wb"))
  file:write(text)
  file:close()
end

--- "CLASS/NAME CLASS/NAME ...": the sorted files of a split.
local function listing(part)
  local names = {}
  for class in lfs.dir(work .. "/" .. part) do
    if class:sub(1, 1) ~= "." then
      for name in lfs.dir(work .. "/" .. part .. "/" .. class) do
        if name:sub(1, 1) ~= "." then names[#names + 1] = class .. "/" .. name end
      end
    end
  end
  table.sort(names)
  return table.concat(names, " ")
end

local function count(part) return select(2, listing(part):gsub("%S+", "")) end

-- 23 pugs, 4 beagles, one akita. The recipe copies files without reading them, so they need not be images.
lfs.mkdir(work .. "/flat")
for i = 1, 23 do write(("flat/pug_%02d.jpg"):format(i), ("pug %d"):format(i)) end
for i = 1, 4 do write(("flat/beagle_%d.jpg"):format(i), ("beagle %d"):format(i)) end
write("flat/akita_1.jpg", "akita 1")
write("flat/Readme.txt", "no image")

test("img2folders: a dry run prints what it would do, and writes nothing", function()
  local output = succeeds "--data flat --out dry --dry-run"
  assert(output:find "akita +1 +0\nbeagle +3 +1\npug +21 +2\ntotal +25 +3\n", output)
  assert(output:find("would copy 28 images to dry; 0 exist already", 1, true), output)
  assert(not lfs.attributes(work .. "/dry"))
end)

test("img2folders: every tenth image of a class is for validation, of a small one the last, never the only", function()
  local output = succeeds "--data flat --out out"
  assert(output:find("copied 28 images to out; 0 existed already", 1, true), output)
  assert(listing "out/valid" == "beagle/beagle_4.jpg pug/pug_10.jpg pug/pug_20.jpg", listing "out/valid")
  assert(count "out/train" == 25 and read "out/train/pug/pug_11.jpg" == "pug 11")
  assert(lfs.attributes(work .. "/flat/pug_11.jpg", "nlink") == 1 and count "out/valid" == 3)
  succeeds "--data flat --out fifth --every 5"
  assert(listing "fifth/valid" == "beagle/beagle_4.jpg pug/pug_05.jpg pug/pug_10.jpg pug/pug_15.jpg pug/pug_20.jpg")
end)

test("img2folders: a second run does what is left and changes nothing else", function()
  os.remove(work .. "/out/train/pug/pug_11.jpg")
  local before = lfs.attributes(work .. "/out/train/pug/pug_12.jpg", "ino")
  local output = succeeds "--data flat --out out"
  assert(output:find("copied 1 images to out; 27 existed already", 1, true), output)
  assert(read "out/train/pug/pug_11.jpg" == "pug 11")
  assert(lfs.attributes(work .. "/out/train/pug/pug_12.jpg", "ino") == before)
end)

test("img2folders: hard links", function()
  succeeds "--data flat --out linked --link"
  local from, to = work .. "/flat/pug_01.jpg", work .. "/linked/train/pug/pug_01.jpg"
  assert(lfs.attributes(from, "ino") == lfs.attributes(to, "ino"))
  local output = succeeds "--data flat --out linked --link"
  assert(output:find("linked 0 images to linked; 28 existed already", 1, true), output)
end)

test("img2folders: another file in an image's place is an error that names both, before anything is done", function()
  os.remove(work .. "/out/train/akita/akita_1.jpg")
  for _, other in ipairs{ "pug X", "longer than it was" } do
    write("out/train/pug/pug_05.jpg", other)
    complains({ "'flat/pug_05.jpg' cannot be copied to 'out/train/pug/pug_05.jpg'", "a different file of that name" },
      "--data flat --out out")
    assert(read "out/train/pug/pug_05.jpg" == other)
  end
  assert(not lfs.attributes(work .. "/out/train/akita/akita_1.jpg"))
  os.remove(work .. "/out/train/pug/pug_05.jpg")
  succeeds "--data flat --out out"
end)

test("img2folders: no image ends up in both parts", function()
  complains({ "'flat/pug_05.jpg' cannot be copied to 'out/valid/pug/pug_05.jpg'", "'out/train/pug/pug_05.jpg' exists" },
    "--data flat --out out --every 5")
end)

test("img2folders: era 2017 counts every entry of the folder", function()
  succeeds "--data flat --out era --era 2017" -- Readme.txt, akita_1, beagle_1..4, pug_01..23: entries 0, 10, 20
  assert(listing "era/valid" == "pug/pug_05.jpg pug/pug_15.jpg", listing "era/valid")
  assert(count "era/train" == 26)
end)

test("img2folders: names without a class, or with one that a folder cannot be named after", function()
  lfs.mkdir(work .. "/odd")
  write("odd/nameless.jpg", "x")
  complains({ "nameless.jpg' does not fit the rule '{class}_{}'" }, "--data odd --out odd_out")
  os.rename(work .. "/odd/nameless.jpg", work .. "/odd/.._x.jpg")
  complains({ "'odd/.._x.jpg'", "'..' cannot be a class's folder" }, "--data odd --out odd_out --era 2017")
  complains({ "'odd' has no image" }, "--data odd --out odd_out") -- hidden
  os.remove(work .. "/odd/.._x.jpg")
  for _, folder in ipairs{ "a", "b" } do
    lfs.mkdir(work .. "/odd/" .. folder)
    write(("odd/%s/pug_1.jpg"):format(folder), folder)
  end
  complains({ "'odd/b/pug_1.jpg' cannot be copied to", "'odd/a/pug_1.jpg' is copied there" }, "--data odd --out odd_out")
  complains({ "nowhere" }, "--data nowhere --out odd_out")
  assert(not lfs.attributes(work .. "/odd_out"))
  assert(succeeds("--help"):find("usage: lurcher img2folders", 1, true))
end)
