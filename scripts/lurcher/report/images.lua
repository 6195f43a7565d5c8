--- lurcher.report.images: thumbnails as data: URIs, the worst mistakes, and the most confused classes side by side.

local lurcher = require "lurcher"
local html = require "lurcher.report.html"
local image = lurcher.image
local e = html.element

local images = {}

--- An image no larger than `side` pixels either way, its shape kept; nil where it cannot be read.
function images.small(path, side)
  local img = image.load(path)
  if not img then return nil end
  local height, width = img.shape[1], img.shape[2]
  local factor = math.min(1, side / math.max(height, width))
  if factor == 1 then return img end
  local function scaled(extent) return math.max(1, math.floor(extent * factor + 0.5)) end
  return image.resize(img, scaled(height), scaled(width))
end

--- An img element that holds its image.
function images.inline(img, text)
  return e.img{ alt = text, src = "data:image/jpeg;base64," .. html.base64(image.encode(img, { quality = 80 })) }
end

--- An image of the set with a caption under it. side: of the thumbnail (224).
local function figure(set, row, caption, side)
  local img = images.small(set:path(row), side or 224)
  return e.figure{ title = set:name(row), img and images.inline(img, set:name(row))
    or e.p{ class = "soft", style = "padding:12px", "cannot be read" }, e.figcaption{ caption } }
end

--- A probability: "97 %", and more digits where that would be 0 or 100; the space keeps the two together.
function images.percent(p)
  if p < 0.0001 then return "<0.01\u{00a0}%" end
  local digits = (p > 0.995 and p < 0.99995 or p < 0.005) and 2 or 0
  return ("%.".. digits .. "f\u{00a0}%%"):format(100 * p)
end

--- "said A 97 %, is B 2 %".
function images.verdict(entry, classes)
  return { "said ", e.b{ class = entry.said == entry.truth and "true" or "said", classes[entry.said] }, " ",
    images.percent(entry.p_said), entry.said ~= entry.truth and { e.br{}, "is ", e.b{ class = "true",
      classes[entry.truth] }, " ", images.percent(entry.p_truth) } or false }
end

--- The first `most` mistakes.
function images.mistakes(set, found, classes, most)
  local list = {}
  for i = 1, math.min(most, #found.mistakes) do
    local entry = found.mistakes[i]
    list[i] = figure(set, entry.row, { images.verdict(entry, classes), e.div{ class = "soft", set:name(entry.row) } })
  end
  return e.div{ class = "images", list }
end

--- The image of a class that is most surely right, or nil.
local function typical(found, class)
  local best
  for _, entry in ipairs(found.said) do
    if entry.truth == class and entry.said == class and (not best or entry.p_said > best.p_said) then best = entry end
  end
  return best
end

--- Images of class `a`: the surest one, then those taken for `b`.
local function side_of(set, found, classes, a, b)
  local list, sure, few <const> = {}, typical(found, a), 3
  if sure then list[1] = figure(set, sure.row, { "surely right, ", images.percent(sure.p_said) }, 160) end
  for _, entry in ipairs(found.mistakes) do
    if entry.truth == a and entry.said == b and #list <= few then
      list[#list + 1] = figure(set, entry.row, { e.span{ class = "said", "said ", classes[b] }, " ",
        images.percent(entry.p_said) }, 160)
    end
  end
  return e.div{ e.p{ e.b{ classes[a] } }, e.div{ class = "images", list } }
end

--- The first `most` pairs of classes, each with both sides.
function images.confused(set, found, classes, most)
  local list = {}
  for i = 1, math.min(most, #found.pairs) do
    local pair = found.pairs[i]
    list[i] = { e.h3{ ("%s and %s"):format(classes[pair.a], classes[pair.b]) },
      e.p{ class = "soft", ("%d of %d taken for the other, and %d of %d."):format(pair.a_as_b,
        found.classes[pair.a].count, pair.b_as_a, found.classes[pair.b].count) },
      e.div{ class = "versus", side_of(set, found, classes, pair.a, pair.b),
        side_of(set, found, classes, pair.b, pair.a) } }
  end
  return list
end

return images
