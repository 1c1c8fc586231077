"""The weights of networks that come with aetx, each with its card; `aetx.core.weights` reads them by name."""
