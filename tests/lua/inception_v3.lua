--- Tests of lurcher.models.inception_v3 against Keras 2.0.6 (keras/applications/inception_v3.py): order, names, sizes,
-- parameters and inputs of all 313 layers; golden values, recorded after tests/interop/inception_v3.py had found every
-- mixed* output within 2e-6 of Keras's; cuts, widths, weights for a second backbone.
local harness = require "harness"
local inception_v3 = require "lurcher.models.inception_v3"
local lurcher = require "lurcher"
local nn = lurcher.nn
local test, raises, near = harness.test, harness.raises, harness.near

--- n | layer index of conv/bn/act | kernel | channels in>out | side | input: aN = activation_N, mpN/apN = pool N.
-- Rows 20-26, 51-60 and 86-94 repeat earlier ones; they are generated below.
local units = [[
1|1/2/3|3x3|3>32|149|input_1
2|4/5/6|3x3|32>32|147|a1
3|7/8/9|3x3|32>64|147|a2
4|11/12/13|1x1|64>80|73|mp1
5|14/15/16|3x3|80>192|71|a4
6|28/32/36|1x1|192>64|35|mp2
7|21/23/25|1x1|192>48|35|mp2
8|29/33/37|5x5|48>64|35|a7
9|18/19/20|1x1|192>64|35|mp2
10|22/24/26|3x3|64>96|35|a9
11|30/34/38|3x3|96>96|35|a10
12|31/35/39|1x1|192>32|35|ap1
13|51/55/59|1x1|256>64|35|mixed0
14|44/46/48|1x1|256>48|35|mixed0
15|52/56/60|5x5|48>64|35|a14
16|41/42/43|1x1|256>64|35|mixed0
17|45/47/49|3x3|64>96|35|a16
18|53/57/61|3x3|96>96|35|a17
19|54/58/62|1x1|256>64|35|ap2
27|93/95/97|3x3|288>384|17|mixed2
28|87/88/89|1x1|288>64|35|mixed2
29|90/91/92|3x3|64>96|35|a28
30|94/96/98|3x3|96>96|17|a29
31|120/124/128|1x1|768>192|17|mixed3
32|107/109/111|1x1|768>128|17|mixed3
33|113/115/117|1x7|128>128|17|a32
34|121/125/129|7x1|128>192|17|a33
35|101/102/103|1x1|768>128|17|mixed3
36|104/105/106|7x1|128>128|17|a35
37|108/110/112|1x7|128>128|17|a36
38|114/116/118|7x1|128>128|17|a37
39|122/126/130|1x7|128>192|17|a38
40|123/127/131|1x1|768>192|17|ap4
41|152/156/160|1x1|768>192|17|mixed4
42|139/141/143|1x1|768>160|17|mixed4
43|145/147/149|1x7|160>160|17|a42
44|153/157/161|7x1|160>192|17|a43
45|133/134/135|1x1|768>160|17|mixed4
46|136/137/138|7x1|160>160|17|a45
47|140/142/144|1x7|160>160|17|a46
48|146/148/150|7x1|160>160|17|a47
49|154/158/162|1x7|160>192|17|a48
50|155/159/163|1x1|768>192|17|ap5
61|216/220/224|1x1|768>192|17|mixed6
62|203/205/207|1x1|768>192|17|mixed6
63|209/211/213|1x7|192>192|17|a62
64|217/221/225|7x1|192>192|17|a63
65|197/198/199|1x1|768>192|17|mixed6
66|200/201/202|7x1|192>192|17|a65
67|204/206/208|1x7|192>192|17|a66
68|210/212/214|7x1|192>192|17|a67
69|218/222/226|1x7|192>192|17|a68
70|219/223/227|1x1|768>192|17|ap7
71|235/237/239|1x1|768>192|17|mixed7
72|241/243/245|3x3|192>320|8|a71
73|229/230/231|1x1|768>192|17|mixed7
74|232/233/234|1x7|192>192|17|a73
75|236/238/240|7x1|192>192|17|a74
76|242/244/246|3x3|192>192|8|a75
77|263/269/275|1x1|1280>320|8|mixed8
78|252/254/256|1x1|1280>384|8|mixed8
79|258/264/270|1x3|384>384|8|a78
80|259/265/271|3x1|384>384|8|a78
81|249/250/251|1x1|1280>448|8|mixed8
82|253/255/257|3x3|448>384|8|a81
83|260/266/272|1x3|384>384|8|a82
84|261/267/273|3x1|384>384|8|a82
85|268/274/278|1x1|1280>192|8|ap8
]]

--- index name side channels: inputs.
local others = [[
0 input_1 299 3:
10 mp1 73 64: a3
17 mp2 35 192: a5
99 mp3 17 288: mixed2
247 mp4 8 768: mixed7
27 ap1 35 192: mp2
50 ap2 35 256: mixed0
73 ap3 35 288: mixed1
119 ap4 17 768: mixed3
151 ap5 17 768: mixed4
183 ap6 17 768: mixed5
215 ap7 17 768: mixed6
262 ap8 8 1280: mixed8
293 ap9 8 2048: mixed9
40 mixed0 35 256: a6 a8 a11 a12
63 mixed1 35 288: a13 a15 a18 a19
86 mixed2 35 288: a20 a22 a25 a26
100 mixed3 17 768: a27 a30 mp3
132 mixed4 17 768: a31 a34 a39 a40
164 mixed5 17 768: a41 a44 a49 a50
196 mixed6 17 768: a51 a54 a59 a60
228 mixed7 17 768: a61 a64 a69 a70
248 mixed8 8 1280: a72 a76 mp4
276 mixed9_0 8 768: a79 a80
277 concatenate_1 8 768: a83 a84
279 mixed9 8 2048: a77 mixed9_0 concatenate_1 a85
307 mixed9_1 8 768: a88 a89
308 concatenate_2 8 768: a92 a93
310 mixed10 8 2048: a86 mixed9_1 concatenate_2 a94
]]

--- "a7" -> "activation_7"
local function full_name(short)
  return (short:gsub("^a(%d+)$", "activation_%1"):gsub("^mp(%d)$", "max_pooling2d_%1")
    :gsub("^ap(%d)$", "average_pooling2d_%1"))
end

--- layer index -> { name, side, channels, parameters, inputs as a text }
local function keras_table()
  local layers = {}
  local function add(index, ...)
    assert(not layers[index])
    layers[index] = { ... }
  end
  local function add_unit(n, first, second, third, rows, columns, ins, outs, side, from)
    add(first, "conv2d_" .. n, side, outs, rows * columns * ins * outs, full_name(from))
    add(second, "batch_normalization_" .. n, side, outs, 3 * outs, "conv2d_" .. n)
    add(third, "activation_" .. n, side, outs, 0, "batch_normalization_" .. n)
  end
  --- { first row, last row, added to n, to indices, source of the block, its pool, channels of the source }
  local repeated = { { 13, 19, 7, 23, "mixed1", "ap3", 288 }, { 41, 50, 10, 32, "mixed5", "ap6", 768 },
    { 77, 85, 9, 31, "mixed9", "ap9", 2048 } }
  for line in units:gmatch "[^\n]+" do
    local fields, from = {}, line:match "[^|]+$"
    for digits in line:sub(1, -#from - 1):gmatch "%d+" do fields[#fields + 1] = tonumber(digits) end
    local n, i, j, k, rows, columns, ins, outs, side = table.unpack(fields, 1, 9)
    add_unit(n, i, j, k, rows, columns, ins, outs, side, from)
    for _, row in ipairs(repeated) do
      local low, high, more_n, more, source, pool, channels = table.unpack(row)
      if n >= low and n <= high then
        local again = from
        if from:find "^mixed" then again = source elseif from:find "^ap" then again = pool
        else again = "a" .. tonumber(from:sub(2)) + more_n end
        if again == source or again == pool then ins = channels end
        add_unit(n + more_n, i + more, j + more, k + more, rows, columns, ins, outs, side, again)
      end
    end
  end
  for line in others:gmatch "[^\n]+" do
    local index, name, side, channels, inputs = line:match "^(%d+) (%S+) (%d+) (%d+): ?(.*)$"
    add(tonumber(index), full_name(name), tonumber(side), tonumber(channels), 0, (inputs:gsub("%S+", full_name)))
  end
  add(311, "avg_pool", nil, 2048, 0, "mixed10")
  add(312, "predictions", nil, 1000, 2049000, "avg_pool")
  return layers
end

local function weight_count(layer)
  local count = 0
  for _, weight in pairs(layer:weights()) do count = count + weight.count end
  return count
end

test("inception_v3: every layer of Keras's table, in its order, with its inputs", function()
  local keras, model <close> = keras_table(), inception_v3()
  assert(#keras == 312 and #model.layers == 313)
  local definition = lurcher.json.decode(model:json())
  local inputs = {}
  for _, node in ipairs(definition.nodes) do
    local names = {}
    for i, from in ipairs(node.inputs) do names[i] = model.layers[definition.nodes[from + 1].layer + 1].name end
    inputs[model.layers[node.layer + 1].name] = table.concat(names, " ")
  end
  for index = 0, 312 do
    local name, side, channels, parameters, from = table.unpack(keras[index], 1, 5)
    local layer = model.layers[index + 1]
    assert(layer.name == name, ("index %d: %s expected, got %s"):format(index, name, layer.name))
    local shape = table.concat(model:node(name).shape, "x")
    local expected = side and ("%dx%dx%d"):format(side, side, channels) or tostring(channels)
    assert(shape == expected, ("%s: %s expected, got %s"):format(name, expected, shape))
    assert(weight_count(layer) == parameters, ("%s: %d parameters expected"):format(name, parameters))
    assert(inputs[name] == from, ("%s: input %s expected, got %s"):format(name, from, inputs[name]))
  end
end)

test("inception_v3: 23,851,784 parameters in 378 arrays of 189 layers", function()
  local model <close> = inception_v3()
  local total, trainable = model:parameters()
  assert(total == 23851784 and trainable == 23817352, ("%d, %d trainable"):format(total, trainable))
  local arrays, weighted = 0, 0
  for _, layer in ipairs(model.layers) do
    local before = arrays
    for _ in pairs(layer:weights()) do arrays = arrays + 1 end
    if arrays > before then weighted = weighted + 1 end
  end
  assert(arrays == 378 and weighted == 189)
end)

test("inception_v3: layers[262:] starts at an average pool inside mixed9: 6,730,944 trainable values", function()
  local model <close> = inception_v3{ top = false, pooling = "avg" }
  assert(model.layers[263].name == "average_pooling2d_8")
  model:freeze{ below = 262 }
  assert(select(2, model:parameters()) == 6730944)
  for name, learns in pairs{ conv2d_77 = true, conv2d_84 = false, conv2d_85 = true, batch_normalization_84 = true,
    batch_normalization_82 = false } do
    assert(model:layer(name).trainable == learns, name)
  end
end)

--- A small network; its weights and moving statistics depend on the seed alone.
local function seeded(options)
  lurcher.seed(3)
  local model = inception_v3(options)
  for _, layer in ipairs(model.layers) do
    if layer.kind == "batchnorm" then
      local weights = layer:weights()
      local n = weights.beta.count
      layer:set_weight("beta", lurcher.normal{ n, std = 0.1 })
      layer:set_weight("moving_mean", lurcher.normal{ n, std = 0.1 })
      layer:set_weight("moving_variance", lurcher.uniform{ n, low = 0.5, high = 1.5 })
    end
  end
  return model
end

--- Mean and Euclidean norm of the outputs.
local golden = {
  mixed0 = { 0.071925953, 15.10621 },
  mixed3 = { 0.084266439, 15.205718 },
  mixed7 = { 0.070820324, 14.11442 },
  mixed8 = { 0.087515116, 8.2495316 },
  mixed10 = { 0.095553868, 10.634959 },
}

test("inception_v3: golden values", function()
  local model <close> = seeded{ size = 107, width = 0.25, classes = 5 }
  local images = lurcher.uniform{ 2, 107, 107, 3, low = -1, high = 1 }
  local outputs = { predictions = model:node "predictions" }
  for name in pairs(golden) do outputs[name] = model:node(name) end
  local run <close> = nn.model(outputs):compile{ device = "cpu" }
  local y = run:predict{ input_1 = images }
  for name, expected in pairs(golden) do
    near({ y[name]:mean(), math.sqrt(y[name]:square():sum()) }, expected)
  end
  near(y.predictions[1], { 0.205980942, 0.157106921, 0.177154481, 0.292075425, 0.167682260 })
end)

test("inception_v3: feature_layer cuts at any named layer, with nothing behind it", function()
  local pooled <close> = inception_v3{ feature_layer = "mixed7", pooling = "avg", width = 0.125, size = 139 }
  assert(pooled.outputs[1] == "avg_pool" and #pooled:node("mixed7").shape == 3 and not pooled:index "mixed8")
  for _, name in ipairs{ "conv2d_1", "max_pooling2d_2", "average_pooling2d_3", "batch_normalization_40", "mixed9_0",
    "concatenate_1", "mixed10", "avg_pool", "predictions" } do
    local cut <close> = inception_v3{ feature_layer = name, size = 75, width = 0.125 }
    assert(cut.outputs[1] == name and cut:index(name) == #cut.layers - 1, name)
  end
  local tall <close> = inception_v3{ top = false, pooling = "max", size = { 75, 107 }, width = 0.125, momentum = 0.9 }
  assert(tall.outputs[1] == "max_pool" and table.concat(tall:node("mixed10").shape, "x") == "1x2x256")
  assert(tall:layer("conv2d_1"):weights().kernel.shape[4] == 8)
end)

test("inception_v3: beside an Xception its layer numbers continue, and its weights are still found", function()
  local small = { size = 75, width = 0.125, top = false, pooling = "avg" }
  local alone <close> = seeded(small)
  local path = harness.folder "inception_v3" .. "/weights.h5"
  assert(alone:save(path))
  small.first, small.input, small.weights = 5, "image", path
  local second <close>, report = inception_v3(small)
  assert(report.loaded == 188 and report.missing + report.unused + report.mismatched == 0, report.text)
  assert(second:index "conv2d_98" and second:index "batch_normalization_98" and not second:index "conv2d_4")
  local a <close> = alone:compile{}
  local b <close> = second:compile{}
  local image = lurcher.uniform{ 1, 75, 75, 3, low = -1, high = 1 }
  local difference = a:predict{ input_1 = image }.avg_pool - b:predict{ image = image }.avg_pool
  assert(difference:abs():max() == 0)
end)

test("inception_v3: error messages name the option, what was expected and what was given", function()
  raises("unknown option 'middle' to 'inception_v3'", inception_v3, { middle = 1 })
  raises("unknown option 'fist' to 'inception_v3' %(did you mean 'first'%?%)", inception_v3, { fist = 1 })
  raises("bad option 'first' to 'inception_v3' %(integer of at least 1 expected, got 0%)", inception_v3, { first = 0 })
  raises("the network has no layer 'mixed11'; did you mean 'mixed1", inception_v3, { feature_layer = "mixed11",
    size = 75, width = 0.125 })
  raises("cannot load weights", inception_v3, { weights = "nowhere.h5", size = 75, width = 0.125 })
  local message = raises("tests/lua/inception_v3.lua:%d+: bad option 'width'", function()
    local model = inception_v3{ width = -1 }
    return model
  end)
  assert(message:find("positive number expected, got -1", 1, true))
end)
