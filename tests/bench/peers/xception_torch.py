"""Xception in PyTorch, and a function that loads the weights of a Keras file into it. A module of the peers."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Separable(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.depthwise = nn.Conv2d(cin, cin, 3, padding=1, groups=cin, bias=False)
        self.pointwise = nn.Conv2d(cin, cout, 1, bias=False)
        self.bn = nn.BatchNorm2d(cout, eps=1e-3, momentum=0.01)

    def forward(self, x):
        return self.bn(self.pointwise(self.depthwise(x)))


def same_pool(x):
    """3x3 stride 2 'same' max pooling of TensorFlow: pads (0, 1) where the extent is even, (1, 1) where it is odd."""
    even = int(x.shape[2]) % 2 == 0  # an int also while ONNX traces
    return F.max_pool2d(x, 3, 2, padding=0 if even else 1, ceil_mode=even)


class Block(nn.Module):
    """Two separable convolutions, a strided pool and a strided 1x1 residual; or three and the identity."""

    def __init__(self, cin, widths, strided, relu_first=True):
        super().__init__()
        ins = [cin] + widths[:-1]
        self.separables = nn.ModuleList(Separable(i, o) for i, o in zip(ins, widths))
        self.relu_first = relu_first
        self.strided = strided
        if strided:
            self.residual = nn.Conv2d(cin, widths[-1], 1, stride=2, bias=False)
            self.residual_bn = nn.BatchNorm2d(widths[-1], eps=1e-3, momentum=0.01)

    def forward(self, x):
        y = x
        for i, separable in enumerate(self.separables):
            if i > 0:
                y = F.relu(y, inplace=True)
            elif self.relu_first:
                y = F.relu(y)  # x itself is still needed by the residual
            y = separable(y)
        if not self.strided:
            return y + x
        return same_pool(y) + self.residual_bn(self.residual(x))


class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(32, eps=1e-3, momentum=0.01)
        self.conv2 = nn.Conv2d(32, 64, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(64, eps=1e-3, momentum=0.01)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)), inplace=True)


class Exit(nn.Module):
    def __init__(self):
        super().__init__()
        self.sep3 = Separable(1024, 1536)
        self.sep4 = Separable(1536, 2048)

    def forward(self, x):
        x = F.relu(self.sep3(x), inplace=True)
        x = F.relu(self.sep4(x), inplace=True)
        return x.mean((2, 3))


class Xception(nn.Module):
    """`below`: the layers before Keras's layer 105 (add_10, which has no weights); `above`: the others up to the
    features; `fc`: the classes, as logits."""

    def __init__(self, classes=1000):
        super().__init__()
        blocks = [Block(64, [128, 128], True, False), Block(128, [256, 256], True), Block(256, [728, 728], True)]
        blocks += [Block(728, [728] * 3, False) for _ in range(8)]
        self.below = nn.Sequential(Stem(), *blocks[:10])
        self.above = nn.Sequential(*blocks[10:], Block(728, [728, 1024], True), Exit())
        self.fc = nn.Linear(2048, classes)

    def forward(self, x):
        return self.fc(self.above(self.below(x)))

    def freeze(self, *parts):
        """Freezes these parts: no gradients, batch norms in inference form."""
        for part in parts:
            part.eval().requires_grad_(False)


def take_conv(conv, kernel):
    conv.weight.data.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))


def take_norm(norm, weights):
    for tensor, array in zip((norm.weight, norm.bias, norm.running_mean, norm.running_var), weights):
        tensor.data.copy_(torch.from_numpy(array))


def take_separable(separable, keras, name):
    depthwise, pointwise = keras[name]
    separable.depthwise.weight.data.copy_(torch.from_numpy(depthwise.transpose(2, 3, 0, 1).copy()))
    take_conv(separable.pointwise, pointwise)
    take_norm(separable.bn, keras[name + "_bn"])


def load(model, keras):
    """Weights by layer name, as protocol.keras_weights gives them."""
    stem, exit_flow = model.below[0], model.above[-1]
    for conv, norm, name in ((stem.conv1, stem.bn1, "block1_conv1"), (stem.conv2, stem.bn2, "block1_conv2")):
        take_conv(conv, keras[name][0])
        take_norm(norm, keras[name + "_bn"])
    residuals = 0
    for number, block in enumerate(list(model.below[1:]) + list(model.above[:-1]), 2):
        for k, separable in enumerate(block.separables, 1):
            take_separable(separable, keras, "block%d_sepconv%d" % (number, k))
        if block.strided:
            residuals += 1
            take_conv(block.residual, keras["conv2d_%d" % residuals][0])
            take_norm(block.residual_bn, keras["batch_normalization_%d" % residuals])
    take_separable(exit_flow.sep3, keras, "block14_sepconv1")
    take_separable(exit_flow.sep4, keras, "block14_sepconv2")
    kernel, bias = keras["predictions"]
    model.fc.weight.data.copy_(torch.from_numpy(kernel.T.copy()))
    model.fc.bias.data.copy_(torch.from_numpy(bias))
    return model
