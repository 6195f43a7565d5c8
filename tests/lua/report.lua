--- Tests of lurcher report and lurcher compare: figures against hand-computed ones, pages that need no other file and
-- escape their text, every kind of run folder.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local activation, chart = require "lurcher.report.activation", require "lurcher.report.chart"
local figures, html = require "lurcher.report.figures", require "lurcher.report.html"
local record, script = require "lurcher.report.record", require "lurcher.report.script"
local prediction = require "lurcher.prediction"
local nn = lurcher.nn
local test, near, raises = harness.test, harness.near, harness.raises

local work = harness.folder "report"
local e = html.element

local succeeds, complains, read = harness.commands(work)

local function count(text, part)
  local n, at = 0, 1
  while true do
    local first, last = text:find(part, at, true)
    if not first then return n end
    n, at = n + 1, last + 1
  end
end

--- Checks that opening and closing tags match, that the page loads no file, and that its one script is the known one,
-- the only one that its content security policy allows.
local function is_sound(page)
  local open = {}
  local whole = "<script>" .. script.text .. "</script>"
  local first, last = page:find(whole, 1, true)
  assert(first and last, "the script")
  page = page:sub(1, first - 1) .. page:sub(last + 1)
  for closing, tag, attributes in page:gmatch "<(/?)(%a%w*)([^>]*)>" do
    if closing == "/" then
      assert(table.remove(open) == tag, "</" .. tag .. "> closes something else")
    elseif not ({ meta = true, img = true, br = true, hr = true, wbr = true })[tag] then
      open[#open + 1] = tag
    end
    assert(tag ~= "script" and tag ~= "link" and tag ~= "iframe"
      and not attributes:gsub('"[^"]*"', '""'):find "%son%a+=", tag)
    assert(not attributes:find "src=\"[^d]" and not attributes:find "href=\"[^#]", attributes)
  end
  assert(#open == 0, "open: " .. table.concat(open, " "))
  assert(not page:find("@import", 1, true) and not page:find("url(", 1, true))
  assert(page:find("default-src &#39;none&#39;", 1, true))
  assert(page:find(("script-src &#39;%s&#39;"):format(script.hash), 1, true) and not page:find "nan%f[%W]")
end

-- ---- the pieces ----

test("html: everything that is not an element is escaped", function()
  assert(html.text(e.p{ class = 'a"b', "x < y & z", e.b{ "bold" }, false, { 1, e.br{} } })
    == '<p class="a&quot;b">x &lt; y &amp; z<b>bold</b>1<br></p>')
  assert(html.escape "<script>alert('1')</script>" == "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;")
  assert(html.escape "a\0b\nc" == "a b c")
  assert(utf8.len(html.escape "dog\xff.jpg") == 8 and html.escape "d\u{f6}g" == "d\u{f6}g")
  raises("a string, number, element or list expected, got boolean", e.p, { true })
end)

test("html: the hash of the script in the content security policy is that of the script", function()
  assert(lurcher.write_file(work .. "/script.js", script.text))
  local hex = harness.run(("sha256sum '%s/script.js'"):format(work)):match "^%x+"
  local bytes = hex:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end)
  local hash = "sha256-" .. html.base64(bytes)
  assert(script.hash == hash, "scripts/lurcher/report/script.lua: script.hash must be " .. hash)
  assert(not script.text:find("</", 1, true) and not script.text:find "innerHTML")
end)

test("html: names break after separators and between words, not in the ending", function()
  assert(html.text(html.breaking "a_dog/File-nameOf.jpg") == "a_<wbr>dog/<wbr>File-<wbr>name<wbr>Of.jpg")
  assert(html.text(html.breaking "lurcher x --a-b /c/d_e") == "lurcher x --a-<wbr>b /c/<wbr>d_<wbr>e")
  assert(html.text(html.breaking "x<y>/&") == "x&lt;y&gt;/&amp;" and html.text(html.breaking "") == "")
  assert(html.text(html.breaking(0.5)) == "0.5" and not html.text(html.breaking "a\0b"):find "%z")
end)

test("html: base64 as in RFC 4648, and of all bytes", function()
  for text, coded in pairs{ [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=",
    foobar = "Zm9vYmFy", ["\xff\xef\xbe"] = "/+++", ["\0\0\0\0"] = "AAAAAA==" } do
    assert(html.base64(text) == coded, text)
  end
end)

test("image.encode: the bytes that image.save writes", function()
  lurcher.seed(1)
  local image = lurcher.uniform{ 9, 7, 3, low = 0, high = 255 }
  for _, format in ipairs{ "jpeg", "png" } do
    local path = work .. "/saved." .. (format == "jpeg" and "jpg" or format)
    assert(lurcher.image.save(path, image, { quality = 70 }))
    local file = assert(io.open(path, "rb"))
    assert(lurcher.image.encode(image, { format = format, quality = 70 }) == file:read "a")
    file:close()
  end
  assert(lurcher.image.encode(image) == lurcher.image.encode(image, { format = "jpeg", quality = 90 }))
  assert(#lurcher.image.encode(image, { quality = 5 }) < #lurcher.image.encode(image, { quality = 95 }))
  local decoded = lurcher.image.decode(lurcher.image.encode(image, { format = "png" }))
  near(decoded:cast "f32", (image + 0.5):cast "i32":cast "f32")
  raises("h x w x 3", lurcher.image.encode, lurcher.zeros(3, 3))
  raises("gif", lurcher.image.encode, image, { format = "gif" })
  raises("quality", lurcher.image.encode, image, { quality = 101 })
  raises("unknown option 'qualty'", lurcher.image.encode, image, { qualty = 9 })
end)

test("figures: accuracies, classes, mistakes and pairs of a small case worked out by hand", function()
  local scores = lurcher.tensor{ { 0.7, 0.2, 0.1 }, { 0.1, 0.6, 0.3 }, { 0.3, 0.5, 0.2 }, { 0.05, 0.05, 0.9 },
    { 0.9, 0.08, 0.02 } }
  local found = figures.of(scores, { 1, 2, 1, 3, 3 }, { 11, 12, 13, 14, 15 }, { "a", "b", "c" })
  assert(found.count == 5 and #found.mistakes == 2 and not found.top_5)
  near(found.top_1, 0.6)
  near(found.log_loss, -(math.log(0.7) + math.log(0.6) + math.log(0.3) + math.log(0.9) + math.log(0.02)) / 5, 1e-5)
  near(found.matrix, { { 1, 1, 0 }, { 0, 1, 0 }, { 1, 0, 1 } })
  local a, b, c = table.unpack(found.classes)
  near({ a.precision, a.recall, a.f1 }, { 0.5, 0.5, 0.5 })
  near({ b.precision, b.recall, b.f1 }, { 0.5, 1, 2 / 3 })
  near({ c.precision, c.recall, c.f1 }, { 1, 0.5, 2 / 3 })
  assert(a.taken == 2 and a.taken_count == 1 and not b.taken and c.taken == 1)
  local worst = found.mistakes[1]
  assert(worst.row == 15 and worst.truth == 3 and worst.predicted == 1)
  near({ worst.p_predicted, worst.p_truth }, { 0.9, 0.02 })
  assert(found.mistakes[2].row == 13)
  assert(#found.pairs == 2 and found.pairs[1].a == 1 and found.pairs[1].b == 2 and found.pairs[1].a_as_b == 1
    and found.pairs[2].b == 3 and found.pairs[2].b_as_a == 1)
end)

test("figures: a class without images, and one that is never predicted", function()
  local found = figures.of(lurcher.tensor{ { 0.9, 0.1, 0 }, { 0.8, 0.2, 0 } }, { 1, 2 }, { 1, 2 }, { "a", "b", "c" })
  local _, b, c = table.unpack(found.classes)
  assert(not b.precision and b.recall == 0 and b.f1 == 0)
  assert(not c.precision and not c.recall and not c.f1 and c.count == 0)
end)

--- n rows of two classes with these confidences of class 1; the first `right` of them are of class 1.
local function predictions(confidences, right)
  local list = {}
  for i, p in ipairs(confidences) do
    local is_right = i <= right
    list[i] = { row = i, truth = is_right and 1 or 2, predicted = 1, p_predicted = p,
      p_truth = is_right and p or 1 - p }
  end
  return list
end

test("figures: calibration by hand; bins are open below and closed above", function()
  -- bins of 15: (14/15, 1] has 0.95 and 1, both right; (0.6, 2/3] has 0.62 right and 0.64 wrong; 0.6 = 9/15 is the
  -- upper end of bin 9
  local found = figures.calibration{ { predicted = 1, truth = 1, p_predicted = 0.95 },
    { predicted = 1, truth = 1, p_predicted = 1 }, { predicted = 1, truth = 1, p_predicted = 0.62 },
    { predicted = 1, truth = 2, p_predicted = 0.64 }, { predicted = 1, truth = 2, p_predicted = 9 / 15 } }
  assert(#found.bins == 15 and found.bins[15].count == 2 and found.bins[10].count == 2 and found.bins[9].count == 1)
  assert(not found.bins[1].accuracy)
  near({ found.bins[15].accuracy, found.bins[15].confidence, found.bins[10].accuracy, found.bins[10].confidence },
    { 1, 0.975, 0.5, 0.63 })
  near(found.ece, (2 * 0.025 + 2 * 0.13 + 1 * 0.6) / 5)
  near(figures.calibration(predictions({ 0.75, 0.75, 0.75, 0.75 }, 3)).ece, 0)
end)

test("figures: accuracy against rejection; equal confidences go together, in any order", function()
  local list = figures.coverage(predictions({ 0.9, 0.8, 0.8, 0.6 }, 2))
  local want = { { 0.25, 1, 0.9 }, { 0.75, 2 / 3, 0.8 }, { 1, 0.5, 0.6 } }
  for i, point in ipairs(list) do near({ point.coverage, point.accuracy, point.confidence }, want[i]) end
  assert(#list == 3)
  local again = predictions({ 0.9, 0.8, 0.8, 0.6 }, 2)
  again[2], again[3] = again[3], again[2]
  near(figures.coverage(again)[2].accuracy, 2 / 3)
end)

test("figures: one class, one image, and probabilities that are NaN", function()
  local found = figures.of(lurcher.tensor{ { 1 } }, { 1 }, { 1 }, { "only" })
  assert(found.top_1 == 1 and #found.pairs == 0 and #found.coverage == 1)
  near(found.calibration.ece, 0)
  local nothing = figures.of(lurcher.tensor{ { 0 / 0, 0 / 0 }, { 0.2, 0.8 } }, { 1, 2 }, { 1, 2 }, { "a", "b" })
  assert(nothing.calibration.ece == nothing.calibration.ece and #nothing.coverage == 2)
end)

test("chart: labels of small values are told apart and fit in the image", function()
  for _, values in ipairs{ { 1e-4, 1e-4 }, { 1e-4, 1e-5 }, { 1e-4, 1.2e-4 }, { 3e-7, 8e-7 }, { 0.0001, 0.01 },
    { 123456, 123460 }, { 0.65660, 0.65661 }, { 2e-4, 1.99e-4 } } do
    for _, log in ipairs{ false, true } do
      local text = html.text(chart{ title = "t", log = log, series = { { name = "s", colour = 1,
        points = { { 1, values[1] }, { 2, values[2] } } } } })
      local seen, count_of = {}, 0
      for x, label in text:gmatch '<text text%-anchor="end" x="([%d.]+)" y="[%d.]+">([^<]*)</text>' do
        assert(not seen[label], ("'%s' twice for %g, %g"):format(label, values[1], values[2]))
        assert(tonumber(x) - 6.8 * utf8.len(label) >= 0, label .. " is cut off")
        seen[label], count_of = true, count_of + 1
      end
      assert(count_of >= 1, "no label")
    end
  end
  local flat = html.text(chart{ title = "lr", series = { { name = "lr", colour = 1,
    points = { { 1, 1e-4 }, { 2, 1e-4 } } } } })
  assert(flat:find(">1e-4<", 1, true))
end)

test("chart: the best point has its ring and its value beside it", function()
  local text = html.text(chart{ title = "t", series = { { name = "s", colour = 2, best = 2,
    points = { { 1, 0.7 }, { 2, 0.25 }, { 3, 0.4 } } } } })
  local ring = text:match 'class="ring" cx="([%d.]+)"'
  assert(ring and text:find(">best 0.25<", 1, true) and text:find(('cx="%s"'):format(ring), 1, true))
  assert(count(text, 'class="ring"') == 1)
end)

test("chart: one point, gaps, logarithms, no data", function()
  local function drawn(points, more)
    local spec = { title = "t", series = { { name = "s", colour = 1, points = points } } }
    for key, value in pairs(more or {}) do spec[key] = value end
    local made = chart(spec)
    local text = made and html.text(made)
    assert(not text or not text:find "nan" and not text:find "inf", text)
    return text
  end
  assert(count(drawn{ { 1, 0.5 } }, "<circle") == 1)
  assert(count(drawn{ { 1, 0 }, { 2, 0 } }, "<circle") == 2)
  local gap = drawn{ { 1, 1 }, { 2, 0 / 0 }, { 3, 2 }, { 4, 1 / 0 }, { 5, 3 } }
  assert(count(gap, "<circle") == 3 and count(gap:match 'class="curve" d="([^"]*)"', "M") == 3)
  local log = drawn({ { 1, 100 }, { 2, 10 }, { 3, 0 }, { 4, 1 } }, { log = true })
  assert(count(log, "<circle") == 3 and log:find "log scale")
  local ys = {}
  for y in log:gmatch '<circle cx="[%d.]+" cy="([%d.]+)"' do ys[#ys + 1] = tonumber(y) end
  near(ys[2] - ys[1], ys[3] - ys[2], 0.11)
  assert(drawn({ { 1, 0.5 }, { 2, 0.75 } }, { share = true }):find("75\u{a0}%", 1, true))
  assert(drawn{} == false and drawn{ { 1, 0 / 0 } } == false)
end)

test("activation: the map's mean is the class's score; the heat is its positive part", function()
  lurcher.seed(5)
  local x = nn.conv2d{ 6, 3, name = "conv" }(nn.input("image", 9, 9, 3))
  local features = nn.dropout(0.3)(nn.global_avg_pool{ name = "pool" }(x))
  local model = nn.model{ y = nn.dense{ 4, name = "head" }(features) }
  local maps = activation.of(model, { size = { 9, 9 } }, "y", "cpu")
  local images = lurcher.uniform{ 2, 9, 9, 3 }
  local run <close> = model:compile{ device = "cpu" }
  local scores, map = run:predict{ image = images }.y, maps.run:predict{ image = images }.map
  local spread = map:clone():view(2 * 49, 6):matmul(maps.kernel):view(2, 49, 4):mean(2)
  near(spread, scores, 1e-5) -- the fresh bias is 0
  local kernel = lurcher.tensor{ { 0, 1 }, { 0, -2 } }
  local heat = activation.heat(lurcher.tensor{ { { 1, 0 }, { 0, 1 } }, { { 2, 2 }, { 4, 0 } } }, kernel, 2)
  near(heat, { { { 0.25 }, { 0 } }, { { 0 }, { 1 } } })
  maps.run:close()
  local flat = nn.model{ y = nn.dense{ 4 }(nn.flatten(nn.input("image", 3, 3, 1))) }
  local nothing, reason = activation.of(flat, {}, "y", "cpu")
  assert(nothing == nil and reason:find "global average pool")
end)

-- ---- whole pages ----

local small = "--size 48 --width 0.125 --middle 1 --batch 8 --workers 2"
local odd <const> = "<b>&\"odd'"

test("report: a recipe ends with its page; a class of any name", function()
  succeeds("%s/examples/draw_images.lua --train 8 --valid 4 --test 4 --size 48 --out images", harness.root)
  for _, set in ipairs{ "train", "valid", "test" } do
    assert(os.rename(work .. "/images/" .. set .. "/drop_broad", work .. "/images/" .. set .. "/" .. odd))
  end
  local output = succeeds("single_model --data images %s --epochs 2 --lr 0.002 --out first", small)
  assert(output:find("report: first/report.html", 1, true), output)
  local page = read "first/report.html"
  is_sound(page)
  assert(not page:find(odd, 1, true) and page:find("&lt;b&gt;&amp;&quot;odd&#39;", 1, true))
  for _, id in ipairs{ "curves", "calibration", "mistakes", "confused", "looked", "matrix", "classes", "settings" } do
    assert(page:find('<h2 id="' .. id .. '"', 1, true), id)
  end
  for _, title in ipairs{ "loss", "accuracy", "learning rate" } do
    assert(page:find(title .. "</h3>", 1, true) or page:find(title .. "<span", 1, true), title)
  end
  assert(page:find("--size 48 --width 0.125", 1, true))
end)

test("report: again from the folder alone, with the same figures; evaluated on a test folder", function()
  local before, page = lurcher.json.decode(read "first/figures.json"), read "first/report.html"
  assert(os.remove(work .. "/first/report.html"))
  succeeds "report first"
  local after = lurcher.json.decode(read "first/figures.json")
  near(after.valid.top_1, before.valid.top_1, 0)
  near(after.valid.log_loss, before.valid.log_loss, 1e-5)
  near(after.valid.ece, before.valid.ece, 1e-5)
  assert(after.valid.pictures == 24 and count(read "first/report.html", "<img") == count(page, "<img"))
  local output = succeeds "report first/ --data images/test/ --mistakes 2 --maps 0"
  assert(output:find("report: first/report-test.html", 1, true), output)
  local tested = read "first/report-test.html"
  is_sound(tested)
  assert(not tested:find("Class-activation maps", 1, true) and tested:find("2 of %d+, ordered"))
  after = lurcher.json.decode(read "first/figures.json")
  local scored = succeeds "single_model_test --model first --data images/test"
  assert(after.valid and after.test and scored:find(("top-1 %.4f"):format(after.test.top_1), 1, true), scored)
  assert(scored:find(("log-loss %.4f"):format(after.test.log_loss), 1, true), scored)
end)

test("report: mistakes shown are mistakes, with prediction and truth", function()
  local model, metadata = prediction.open_model(work .. "/first")
  local set = prediction.open_set(work .. "/images/valid", metadata.classes)
  local scores, rows = prediction.predict(model, set, metadata, { device = "cpu" })
  local wrong, best = 0, scores:argmax(2):totable()
  local page = read "first/report.html"
  local section = page:match '<h2 id="mistakes".-<h2 id="confused"'
  for i, row in ipairs(rows) do
    local shown = section:find(html.escape(set:name(row)), 1, true) ~= nil
    local mistake = best[i] + 1 ~= set:class(row)
    assert(shown == mistake, set:name(row))
    if mistake then wrong = wrong + 1 end
  end
  assert(wrong > 0 and count(section, "data:image/jpeg;base64,/9j/") == wrong)
end)

test("report: --no-report; a run that has not ended; a damaged image", function()
  local output = succeeds("single_model --data images %s --epochs 1 --no-report --out none", small)
  assert(not output:find("report", 1, true) and not lfs.attributes(work .. "/none/report.html"))
  assert(read "none/command.txt":find("--no-report", 1, true) and not read "first/command.txt":find("-report ", 1, true))
  os.remove(work .. "/none/model.safetensors")
  succeeds "report none"
  local page = read "none/report.html"
  is_sound(page)
  assert(page:find("there is no model yet", 1, true) and page:find("Curves", 1, true))
  assert(not page:find("<img", 1, true))
  complains(1, { "has no model.safetensors" }, "report none --data images/test")
  local path = work .. "/images/test/button_broad/001.jpg"
  local whole = read "images/test/button_broad/001.jpg"
  assert(lurcher.write_file(path, whole:sub(1, #whole // 2)))
  succeeds "report first --data images/test"
  assert(lurcher.write_file(path, whole))
  assert(lurcher.json.decode(read "first/figures.json").test.pictures == 23)
  complains(1, { "is not a run folder" }, "report images")
  complains(1, { "has no subfolder with the name of a class" }, "report first --data images/test/button_broad")
  complains(2, { "RUN is missing" }, "report")
end)

test("report: a model of several outputs, by the requested one", function()
  lurcher.seed(7)
  local x = nn.global_avg_pool{}(nn.conv2d{ 6, 3, name = "conv" }(nn.input("image", 24, 24, 3)))
  local classes = select(2, prediction.open_model(work .. "/first")).classes
  local model = nn.model{ ctg_out_1 = nn.dense{ 6, activation = "softmax", name = "one" }(x),
    other = nn.dense{ 6, activation = "softmax", name = "two" }(x), bin_out = nn.dense{ 2, name = "pair" }(x) }
  local run <close> = model:compile{}
  assert(lfs.mkdir(work .. "/several"))
  assert(run:save(work .. "/several/model.safetensors", lurcher.json.encode{ classes = classes, size = { 24, 24 },
    preprocess = "tf" }))
  assert(lurcher.write_file(work .. "/several/settings.json", lurcher.json.encode{ recipe = "mine",
    options = { data = work .. "/images" } }))
  assert(lurcher.write_file(work .. "/several/history.csv", "epoch,loss,ctg_out_1_loss,val_loss,lr,stage\n"
    .. "1,2.5,1.5,2.6,0.1,1\n2,nan,1.4,2.4,0.1,1\n3,2,1.2,,0.01,2\n4,1.9,1.1,2.8,0.01,2\n5,1.8,1,2.9,0.01,2\n"))
  assert(lfs.mkdir(work .. "/several/tuned"))
  assert(lurcher.write_file(work .. "/several/tuned/history.csv", "epoch,loss,val_loss\n1,2,2.9\n2,1.5,2.7\n"))
  assert(lurcher.write_file(work .. "/several/notes.json", "no json"))
  succeeds "report several"
  local first = lurcher.json.decode(read "several/figures.json").valid.log_loss
  local page = read "several/report.html"
  is_sound(page)
  assert(page:find("ctg_out_1: loss", 1, true) and page:find("stage 2", 1, true)
    and page:find("<b>2 of 3</b>", 1, true))
  assert(page:find("best epoch, of stage 2", 1, true))
  local output = succeeds "compare several several/tuned"
  assert(output:find "^ +several +several/tuned\n" and output:find "\n  recipe +mine +mine\n"
    and output:find "\nvalidation\n  best epoch +2 of 2\n  val_loss +2.7000\n" and output:find("stage 1, validation\n"
    .. "  best epoch +2 of 2\n  val_loss +2.4000\n") and output:find("stage 2, validation\n  best epoch +2 of 3\n"
    .. "  val_loss +2.8000\nstage 3: tuned, validation\n  best epoch +2 of 2\n  val_loss +2.7000\n"), output)
  succeeds "report several --output other"
  assert(lurcher.json.decode(read "several/figures.json").valid.log_loss ~= first)
  complains(1, { "no output 'bin_out' of 6 numbers" }, "report several --output bin_out")
end)

--- Writes a folder with these files, by name; tables become JSON.
local function folder_of(name, contents)
  local path = work .. "/" .. name
  assert(lfs.mkdir(path))
  for file, text in pairs(contents) do
    assert(lurcher.write_file(path .. "/" .. file, type(text) == "table" and lurcher.json.encode(text) or text))
  end
  return path
end

test("record: stages have losses of different weights, and each its own best epoch", function()
  -- the tuned stage counts one more loss: all of its values are above those of the first
  local history = "epoch,loss,val_loss,stage\n1,2,1.9,1\n2,1,0.9,1\n3,1.5,1.4,2\n4,1.4,1.2,2\n5,1.3,1.3,2\n"
  local path = folder_of("weighted", { ["history.csv"] = history, ["settings.json"] = { recipe = "froze_fine_tune",
    options = { epochs = 3 } } })
  local found = record.read(path)
  assert(#found.stages == 2 and found.best.epoch == 4 and found.stages[1].best.epoch == 2, found.best.epoch)
  local output = succeeds "compare weighted"
  assert(output:find "stage 1, validation\n  best epoch +2 of 2\n  val_loss +0.9000\nstage 2, validation\n"
    and output:find "\n  best epoch +2 of 3\n  val_loss +1.2000\n" and not output:find("*", 1, true), output)
  succeeds "report weighted"
  local page = read "weighted/report.html"
  is_sound(page)
  assert(page:find("<b>2 of 3</b><span>best epoch, of stage 2</span>", 1, true))
  -- a new stage begins a new line in each curve
  for d in page:gmatch 'class="curve" d="([^"]*)"' do assert(count(d, "M") == 2, d) end
  -- in era 2017 the last epoch's model was kept, not the best one's
  folder_of("old", { ["history.csv"] = history, ["settings.json"] = { recipe = "froze_fine_tune",
    options = { epochs = 3, era = "2017" } } })
  assert(record.read(work .. "/old").best.epoch == 5)
  output = succeeds "compare weighted old"
  assert(output:find "\n  best epoch +2 of 3 +3 of 3 %(the last%)\n" and output:find "\n  val_loss +1.2000 %* +1.3000\n"
    and output:find "%* the best of its row\n$", output)
end)

test("record: a stage that is not finished follows the others; the run has the model of the one before", function()
  local path = folder_of("unfinished", { ["settings.json"] = { recipe = "froze_fine_tune", options = {} },
    ["history.csv"] = "epoch,loss,val_loss,stage\n1,2,1.9,1\n2,1,0.9,1\n" })
  folder_of("unfinished/frozen", { ["stage.json"] = { name = "frozen", number = 1, seconds = 7, history = {} },
    ["history.csv"] = "epoch,loss,val_loss\n1,2,1.9\n2,1,0.9\n" })
  folder_of("unfinished/tuned", { ["history.csv"] = "epoch,loss,val_loss\n1,3,2.5\n",
    ["training.json"] = { state = "interrupted", seconds = 5, feature_seconds = 2, device = "cpu", learned = 12 } })
  folder_of("unfinished/other", { ["history.csv"] = "epoch,loss\n1,3\n",
    ["settings.json"] = { recipe = "single_model" } })
  local found = record.read(path)
  assert(#found.history.rows == 3 and found.history.rows[3].epoch == 3 and found.best.epoch == 2)
  assert(#found.stages == 2 and found.stages[1].name == "frozen" and found.stages[2].name == "tuned")
  assert(found.training.seconds == 12 and found.training.feature_seconds == 2 and found.training.state == "interrupted")
  succeeds "report unfinished"
  local page = read "unfinished/report.html"
  is_sound(page)
  assert(page:find("training was interrupted, stage 2</b>: 1 epoch done", 1, true))
  assert(page:find("<b>12 s</b><span>whole time: 2 s for features, ", 1, true) and page:find("<b>cpu</b>", 1, true))
end)

test("report: what a training recorded of itself is in the header", function()
  local found = lurcher.json.decode(read "first/training.json")
  assert(found.state == "finished" and found.device == "cpu" and found.seconds >= found.feature_seconds
    and found.feature_seconds > 0 and found.learned > 0 and found.parameters >= found.learned)
  assert(read("first/training.json"):sub(-1) == "\n" and not lfs.attributes(work .. "/first/checkpoints/running"))
  local page = read "first/report.html"
  local model = prediction.open_model(work .. "/first")
  assert(page:find(("<b>%.1f\u{a0}k</b><span>parameters"):format(model:parameters() / 1e3), 1, true))
  local bytes = lfs.attributes(work .. "/first/model.safetensors", "size")
  assert(page:find(("<b>%.1f %s</b><span>model.safetensors"):format(bytes / (bytes < 1e6 and 1e3 or 1e6),
    bytes < 1e6 and "kB" or "MB"), 1, true))
  assert(page:find("<span>whole time: ", 1, true) and page:find("<b>cpu</b><span>device, ", 1, true))
end)

test("report: hostile names of files, classes, metrics and settings stay text", function()
  local bad <const> = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
  local names = { "plain", (bad:gsub("/", "\\")) }
  local file_name = bad:gsub("/", "\\") .. ".png"
  lurcher.seed(2)
  for _, part in ipairs{ "/hostile", "/hostile/images", "/hostile/images/valid" } do assert(lfs.mkdir(work .. part)) end
  for i, name in ipairs(names) do
    local folder = work .. "/hostile/images/valid/" .. name
    assert(lfs.mkdir(folder))
    for k = 1, 3 do
      assert(lurcher.image.save(folder .. "/" .. k .. file_name, lurcher.uniform{ 20, 90, 3, low = 0, high = 60 * i }))
    end
  end
  local model = nn.model{ y = nn.dense{ 2, name = "head", activation = "softmax" }(nn.global_avg_pool{}(nn.conv2d{ 4, 3,
    name = "conv" }(nn.input("image", 24, 24, 3)))) }
  local run <close> = model:compile{}
  table.sort(names)
  assert(run:save(work .. "/hostile/model.safetensors", lurcher.json.encode{ classes = names, size = { 24, 24 },
    preprocess = "tf" }))
  folder_of("hostile/x", {})
  for file, text in pairs{ ["settings.json"] = lurcher.json.encode{ recipe = bad, started = bad, options = {
    data = work .. "/hostile/images", [bad] = bad, device = bad } }, ["command.txt"] = "lurcher " .. bad,
    ["history.csv"] = ("epoch,%s,val_%s,loss\n1,1,2,nan\n2,3,4,nan\n"):format(bad, bad),
    ["training.json"] = lurcher.json.encode{ state = bad, device = bad } } do
    assert(lurcher.write_file(work .. "/hostile/" .. file, text))
  end
  local output, code = harness.run(("cd '%s' && '%s' report hostile && '%s' compare hostile first --html hostile.html"):
    format(work, harness.program, harness.program))
  assert(code == 0, output)
  for _, file in ipairs{ "hostile/report.html", "hostile.html" } do
    local page = read(file)
    is_sound(page)
    assert(page:find("&lt;img src=x onerror", 1, true), file)
  end
end)

test("report: no epoch, one epoch without numbers, and one class", function()
  folder_of("none_yet", { ["settings.json"] = { recipe = "mine", options = {} } })
  folder_of("one", { ["settings.json"] = { recipe = "mine", options = {} }, ["history.csv"] = "epoch,loss,val_loss,lr\n"
    .. "1,nan,-nan,\n" })
  folder_of("empty", { ["settings.json"] = { recipe = "mine", options = {} }, ["history.csv"] = "" })
  for _, name in ipairs{ "none_yet", "one", "empty" } do
    succeeds("report %s", name)
    is_sound(read(name .. "/report.html"))
  end
  assert(not read("none_yet/report.html"):find("Curves", 1, true))
  local output = succeeds "compare none_yet one empty --html nothing.html"
  assert(not output:find "nan", output)
  is_sound(read "nothing.html")
  local only = folder_of("only", { ["settings.json"] = { recipe = "mine",
    options = { data = work .. "/only/images" } } })
  for _, part in ipairs{ "/images", "/images/valid", "/images/valid/cat" } do assert(lfs.mkdir(only .. part)) end
  assert(lurcher.image.save(only .. "/images/valid/cat/1.png", lurcher.uniform{ 20, 20, 3, low = 0, high = 255 }))
  local model = nn.model{ y = nn.dense{ 1, name = "head", activation = "softmax" }(nn.global_avg_pool{}(nn.conv2d{ 4, 3,
    name = "conv" }(nn.input("image", 24, 24, 3)))) }
  local run <close> = model:compile{}
  assert(run:save(only .. "/model.safetensors", lurcher.json.encode{ classes = { "cat" }, size = { 24, 24 },
    preprocess = "tf" }))
  succeeds "report only"
  local page = read "only/report.html"
  is_sound(page)
  assert(page:find("<b>100.0 %</b>", 1, true) and page:find("<p>None.</p>", 1, true))
end)

test("compare: what differs, where each was best, and the curves", function()
  succeeds("single_model --data images %s --epochs 3 --lr 0.001 --out second", small)
  assert(lurcher.write_file(work .. "/second/predict.json", '{ "top_1": 0.875, "log_loss": 0.5, "models": 3 }'))
  local output = succeeds "compare first second none --html side.html"
  assert(output:find "\n  predict top%-1 +87.50 %%\n" and output:find "\n  predict log%-loss +0.5000\n", output)
  assert(output:find "\n  lr +0.002 +0.001\n" and output:find "\n  epochs +2 +3 +1\n", output)
  assert(not output:find("width", 1, true) and output:find "\n  best epoch +%d of 2 +%d of 3 +1 of 1\n", output)
  local top_1 = lurcher.json.decode(read "second/figures.json").valid.top_1
  assert(output:find(("\n  valid top%%-1 +[%%d.]+ %%%% +%.2f %%%%[ *]*\n"):format(100 * top_1)), output)
  local page = read "side.html"
  is_sound(page)
  for _, part in ipairs{ "first", "second", "none", "learning rate", "accuracy" } do
    assert(page:find(part, 1, true), part)
  end
  local compare = require "lurcher.report.compare"
  local narrow = compare.text(compare.read{ work .. "/first", work .. "/second" }, 40)
  for line in narrow:gmatch "[^\n]+" do assert(#line <= 40, line) end
  assert(narrow:find "^ +first\n" and narrow:find "\n\n +second\n" and narrow:find "best of its row$", narrow)
  complains(1, { "'nowhere' is not a run folder" }, "compare first nowhere")
  complains(2, { "RUN is missing" }, "compare")
end)
