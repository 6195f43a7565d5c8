--- Tests of what the test recipes write: every image has its own name in it, no name makes a line, no file is written
-- over another, and what cannot be written is found before anything is computed.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local test = harness.test

local work = harness.folder "predictions"
local succeeds, complains, read = harness.commands(work)

local function sh(format, ...)
  local output, code = harness.run(("cd '%s' && "):format(work) .. format:format(...))
  assert(code == 0, output)
  return output
end

local function write(path, text) assert(lurcher.write_file(work .. "/" .. path, text or "")) end

--- The lines of a file.
local function lines(path)
  local list = {}
  for line in read(path):gmatch "([^\n]*)\n" do list[#list + 1] = line end
  return list
end

--- The names in a file of predictions, sorted.
local function names(path)
  local list = {}
  for _, line in ipairs(lines(path)) do list[#list + 1] = assert(line:match "^[^\t]+\t([^\t]+)$", line) end
  table.sort(list)
  return table.concat(list, " ")
end

sh("'%s' '%s/examples/draw_images.lua' --train 4 --valid 2 --test 2 --size 48 --out d", harness.program, harness.root)
local small = "--size 48 --width 0.125 --middle 1 --cache none --no-report --batch 8 --epochs 1"
succeeds("single_model --data d %s --out r", small)
local image
for _, class in ipairs(assert(lurcher.data.folder{ work .. "/d/train" }).classes) do
  image = work .. "/d/test/" .. class .. "/001.jpg"
end

test("predictions: names that several images have become paths, others stay as in the original", function()
  sh("mkdir -p names/a names/b && for f in a/1.jpg b/1.jpg b/alone.x.jpg c.jpg c.png d; do cp '%s' names/$f; done", image)
  succeeds "single_model_test --model r --data names --out names.txt"
  assert(names "names.txt" == "a/1 alone.x b/1 c.jpg c.png", names "names.txt")
  succeeds "baidu_dog_test --run r --data d/test --out all.txt"
  local seen = {}
  for _, line in ipairs(lines "all.txt") do
    local name = line:match "\t(.*)$"
    assert(not seen[name], name)
    seen[name] = true
  end
  assert(#lines "all.txt" == 12 and #lines "all.csv" == 13)
end)

test("predictions: a name with line feeds and tabs makes no line and no field", function()
  local class = assert(lurcher.data.folder{ work .. "/d/train" }).classes[1]
  sh("mkdir forged && cp '%s' \"forged/$(printf 'x\\n%s\\tforged.jpg')\" && cp '%s' 'forged/back\\slash.jpg'", image, class,
    image)
  succeeds "baidu_dog_test --run r --data forged --out forged.txt"
  assert(names "forged.txt" == ("back\\\\slash x\\n%s\\tforged"):format(class), names "forged.txt")
  assert(#lines "forged.csv" == 3, read "forged.csv")
  local fields = require "lurcher.fields"
  for _, text in ipairs{ "", "a", "a\tb\n\r\\n\\", "\\x41", "\1\127", "\\\\t" } do
    local escaped = fields.escaped(text)
    assert(not escaped:find "%c" and fields.unescaped(escaped) == text, escaped)
    assert(fields.split(escaped .. "\t" .. escaped)[2] == text)
  end
end)

test("predictions: no file of the program is written over another", function()
  for _, ending in ipairs{ "csv", "json", "txt" } do
    succeeds("baidu_dog_test --run r --data d/test --out out.%s", ending)
    assert(#lines("out." .. ending) == 12, read("out." .. ending))
    for _, line in ipairs(lines("out." .. ending)) do assert(line:find "^[%l_]+\t[%l_]+/%d+$", line) end
  end
  assert(#lines "out-probabilities.csv" == 13 and lurcher.json.decode(read "out-scores.json").top_1)
  succeeds "baidu_dog_test --run r --data d/test --out .csv"
  assert(#lines ".csv" == 12)
  complains(2, { "--out and --probabilities would both be written to './same.txt'" },
    "baidu_dog_test --run r --data d/test --out same.txt --probabilities ./same.txt")
  complains(2, { "'same.json'" }, "baidu_dog_test --run r --data d/test --out same.txt --probabilities same.json")
  write "one.txt"
  assert(lfs.link(work .. "/one.txt", work .. "/two.txt"))
  complains(2, { "would" }, "baidu_dog_test --run r --data d/test --out one.txt --probabilities two.txt")
end)

test("predictions: files that the command reads, and those of a run, are not overwritten", function()
  local before = read "r/settings.json"
  for _, out in ipairs{ "r/settings.json", "r/settings.txt", "r/history.txt", "r/figures.txt", "r/model.safetensors",
    "r/checkpoints/last.safetensors", "r/command.txt" } do
    complains(2, { "name another file" }, "baidu_dog_test --run r --data d/test --out %s", out)
  end
  complains(2, { "--out would overwrite 'r/model.safetensors'" },
    "single_model_test --model r/model.safetensors --data d/test --out r/model.safetensors")
  sh "cp r/model.safetensors m.safetensors"
  complains(2, { "--out would overwrite './m.safetensors', which is --model" },
    "single_model_test --model m.safetensors --data d/test --out ./m.safetensors")
  complains(2, { "--html would overwrite 'r/history.csv'" }, "compare r --html r/history.csv")
  complains(2, { "--html would overwrite" }, "profile --model m.safetensors --html m.safetensors")
  complains(2, { "--out would overwrite" }, "report r --out r/settings.json")
  succeeds "report r --out r/report.html"
  assert(read "r/settings.json" == before)
end)

test("what cannot be written is found before anything is computed, in every recipe", function()
  lfs.mkdir(work .. "/folder")
  write "file"
  local long = ("n"):rep(300)
  for _, out in ipairs{ "folder", "file/x.txt", long .. ".txt", "/dev/null", "/proc/x.txt" } do
    for _, command in ipairs{ "single_model_test --model r --data d/test --out", "baidu_dog_test --run r --data d/test --out",
      "baidu_dog_test --run r --data d/test --probabilities", "augment_preview --data d --out", "compare r --html",
      "report r --out", "profile --html", "features --weights m.safetensors d --out" } do
      local output, code = harness.run(("cd '%s' && '%s' %s %s"):format(work, harness.program, command, out))
      assert(code == 2 and not output:find "predict" and not output:find "traceback", output)
    end
  end
  for _, out in ipairs{ "file", "file/r", "/proc/r", long } do
    for _, command in ipairs{ "single_model --data d --size 48", "single_model_tune --run r", "froze_fine_tune --data d",
      "modern_tune --data d", "trick_tune --run r", "retrain --run r --test d/test", "img2folders --data d/test" } do
      local output, code = harness.run(("cd '%s' && '%s' %s --out %s"):format(work, harness.program, command, out))
      assert(code == 2 and not output:find "images of" and not output:find "traceback", output)
    end
  end
  assert(lfs.attributes "/dev/null".mode == "char device")
  for name in lfs.dir(work) do assert(not name:find "^%.lurcher", name) end
end)

test("the folder of a whole data set: which part is meant", function()
  for _, command in ipairs{ "single_model_test --model r --data d --out p.txt", "baidu_dog_test --run r --data ./d/",
    "report r --data d" } do
    complains(1, { "is the folder of a whole data set", "d/test' or '", "d/train'" }, command)
  end
end)

test("what recipes do not read is counted in a line", function()
  sh("cp -r d e && cp '%s' e/train/loose.jpg && touch e/train/notes.txt e/valid/a.bmp", image)
  sh "for f in e/valid/*/; do touch $f/b.webp; done"
  local output = succeeds("single_model --data e %s --out counted", small)
  assert(output:find("passed over in 'e/train': 1 .txt (only JPEG and PNG files are read), 1 image in no class folder", 1,
    true), output)
  assert(output:find("passed over in 'e/valid': 6 .webp, 1 .bmp (only JPEG and PNG files are read)\n", 1, true), output)
  output = succeeds "single_model_test --model r --data e/valid --out p.txt"
  assert(output:find("passed over in 'e/valid': 6 .webp, 1 .bmp", 1, true), output)
  assert(not succeeds "single_model_test --model r --data d/valid --out p.txt":find "passed over")
end)

test("commands that are printed can be pasted", function()
  local shell = require "lurcher.shell"
  local list = { "a", "", "my data", "it's", "$HOME `x` \"y\" \\", "a;b&c|d>(e)*?[f]{g}~!#", "~", "-x", "a\nb\tc" }
  for _, word in ipairs(list) do
    local output = harness.run(("bash -c %s"):format("'" .. ("printf %s " .. shell.quoted(word)):gsub("'", "'\\''") .. "'"))
    assert(output == word, shell.quoted(word))
  end
  assert(shell.command("lurcher %s --run %s", "x", "a b") == "lurcher x --run 'a b'")
  sh "cp -r d 'my data'"
  local output = succeeds("single_model --data 'my data' %s --out 'my data/it'\\''s'", small)
  local command = assert(output:match "next: .*lurcher (single_model_test .*) %-%-data DIR")
  succeeds("%s --data d/test --out pasted.txt", command)
  assert(#lines "pasted.txt" == 12)
  complains(1, { "--resume 'my data/it'\\''s'" }, "single_model --data d --size 48 --batch 8 --out \"my data/it's\"")
end)
