"""What a network learns without gradients."""


def fit(separator, conf: dict, train_manifest) -> None:
    """Let the network learn without gradients, from one epoch of batches.

    Called before a training by gradients, for what depends only on the data (input statistics),
    and again after it, for what depends on the weights (centroids).
    """
    import torch
    from torch.utils.data import DataLoader

    from local.base import progress
    from local.training import mixtures

    data = mixtures.training(train_manifest, conf["data"], conf["seed"])
    size = min(conf["data"]["batch_size"], len(data))
    batches = mixtures.BatchIndices(len(data), size, conf["seed"], True)
    loader = DataLoader(data, batch_sampler=batches, num_workers=conf["data"]["num_workers"])
    torch.manual_seed(conf["seed"])
    separator.eval()
    with torch.no_grad():
        separator.network.fit(progress.bar(loader, "fitting", unit="batches"))
