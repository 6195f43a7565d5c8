--- lurcher.recipe.layer_decay: smaller learning rates for earlier blocks of a backbone (layer-wise decay, as in ELECTRA
-- and BEiT): the heads 1, a backbone's last block `decay`, the one before it decay^2, ...

--- The backbone and the number in "block14_sepconv1" and "mixed7"; nil for other layers.
local function block_of_name(name)
  local number = name:match "block(%d+)_"
  if number then return "xception", number end
  number = name:match "^mixed(%d+)"
  if number then return "inception", number end
end

--- Scales the learning rates of a run's layers. is_head: function of a layer's name. Layers between blocks (a
-- residual's convolution) belong to the block before them; in an InceptionV3, whose blocks are named by their last
-- layer, those of a block to the name before it.
return function(run, model, decay, is_head)
  local blocks, places, backbone, block = {}, {}, false, nil
  for _, layer in ipairs(model.layers) do
    local name, number = block_of_name(layer.name)
    if number and (number ~= block or name ~= backbone) then
      backbone, block = name, number
      blocks[name] = (blocks[name] or 0) + 1
    end
    places[layer.name] = { backbone, blocks[backbone] or 0 }
  end
  for _, layer in ipairs(model.layers) do
    local learns = layer.trainable and next(layer:weights())
    if learns and not is_head(layer.name) then
      local name, place = table.unpack(places[layer.name])
      run:scale(layer.name, decay ^ ((blocks[name] or 0) - place + 1))
    end
  end
end
