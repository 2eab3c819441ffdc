"""The textbook script, in PyTorch's style, run as it stands in both libraries: only the imports differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch as real_torch

SCRIPT = """
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(1, 8, kernel_size=3, stride=1, padding=1)
        self.conv2 = nn.Conv2d(8, 16, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2, 2)
        self.drop = nn.Dropout(p=0.0)
        self.fc1 = nn.Linear(16 * 2 * 2, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = x.view(-1, 16 * 2 * 2)
        x = self.drop(F.relu(self.fc1(x)))
        return self.fc2(x)


class Pictures(Dataset):
    def __init__(self, images, labels, transform=None):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image, label = self.images[index], int(self.labels[index])
        return (self.transform(image) if self.transform else image), label


train_loader = DataLoader(dataset=Pictures(*train, transform), batch_size=32, shuffle=False)
test_loader = DataLoader(dataset=Pictures(*test, transform), batch_size=50, shuffle=False)

model = Net().to(device)
model.load_state_dict({name: torch.from_numpy(value) for name, value in start.items()})
criterion = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters(), lr=0.003) if adam else optim.SGD(
    model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=True
)
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)

losses, running = [], 0.0
for epoch in range(4):
    model.train()
    for i, (images, labels) in enumerate(train_loader):
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = model(images)
        loss = criterion(outputs, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=5.0)
        optimizer.step()
        losses.append(loss.item())
        running += loss.item() * images.size(0)
    scheduler.step()

model.eval()
correct = total = 0
with torch.no_grad():
    for images, labels in test_loader:
        images, labels = images.to(device), labels.to(device)
        outputs = model(images)
        _, predicted = torch.max(outputs.data, 1)
        total += labels.size(0)
        correct += (predicted == labels).sum().item()
accuracy = 100 * correct / total
flat = outputs.view(-1, 10).argmax(dim=1, keepdim=True).view(-1)
assert flat.eq(predicted.view_as(flat)).all()
assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 3658
"""


class ToTensorFromArray:
    """What both libraries can share of a transform: their own tensor from a picture of bytes."""

    def __init__(self, torch):
        self.torch = torch

    def __call__(self, image):
        return self.torch.from_numpy(image[None].astype(np.float32) / 255)


def pictures(n, seed):
    from minidl.data import Digits

    digits = Digits(train=seed == 0)
    return digits.data.numpy()[:n], digits.targets.numpy()[:n]


def run(library, adam):
    if library == "torch":
        import torch
        import torch.nn as nn
        import torch.nn.functional as F
        import torch.optim as optim
        from torch.utils.data import DataLoader, Dataset

        class Compose:  # torchvision's, which is not needed for more
            def __init__(self, transforms):
                self.transforms = transforms

            def __call__(self, x):
                for transform in self.transforms:
                    x = transform(x)
                return x

        transform = Compose([ToTensorFromArray(torch), lambda x: (x - 0.3) / 0.35])
    else:
        import minidl as torch
        import minidl.nn as nn
        import minidl.nn.functional as F
        import minidl.optim as optim
        from minidl.data import DataLoader, Dataset, transforms

        transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.3,), (0.35,))])
    names = {"torch": torch, "nn": nn, "F": F, "optim": optim}
    names.update(DataLoader=DataLoader, Dataset=Dataset, transform=transform)
    names.update(train=pictures(512, 0), test=pictures(300, 1), start=start_values(), adam=adam)
    exec(compile(SCRIPT, "script.py", "exec"), names)
    return names


def start_values():
    real_torch.manual_seed(0)
    nn = real_torch.nn
    layers = {
        "conv1": nn.Conv2d(1, 8, 3),
        "conv2": nn.Conv2d(8, 16, 3),
        "fc1": nn.Linear(64, 32),
        "fc2": nn.Linear(32, 10),
    }
    return {f"{name}.{k}": v.numpy().copy() for name, m in layers.items() for k, v in m.state_dict().items()}


@pytest.mark.parametrize("adam", [False, True], ids=["sgd", "adam"])
def test_the_same_script_gives_the_same_losses(adam):
    ours, theirs = run("minidl", adam), run("torch", adam)
    assert len(ours["losses"]) == 64
    np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(ours["losses"][:3], theirs["losses"][:3], rtol=1e-5)
    assert ours["losses"][-1] < 0.7 * ours["losses"][0]
    assert abs(ours["accuracy"] - theirs["accuracy"]) <= 1
    np.testing.assert_allclose(ours["running"], theirs["running"], rtol=1e-3)
