"""Windows of several widths at a fraction of their cost: narrow first, look wide then."""

from __future__ import annotations

from typing import Any

from textcnn.nn.activations import Activation
from textcnn.nn.blocks.kim_conv import Width
from textcnn.nn.blocks.parallel import Parallel
from textcnn.nn.sizes import Channels, Tokens
from textcnn.registry import BLOCKS


@BLOCKS.register("inception")
class Inception(Parallel):
    """Branches of Szegedy et al. (2015), figure 2b, over time: (B, T, in_dim), mask -> (B, T, out_dim), mask.

    A 1x1 convolution; for each of `filter_widths` a 1x1 reduction to `reduction` channels and a convolution of that
    width; and the largest of `pool_width` neighbours through a 1x1 convolution. `num_filters` come out of each.
    """

    def __init__(
        self,
        in_dim: int,
        *,
        filter_widths: tuple[Width, ...] = (3, 5),
        num_filters: Channels = 64,
        reduction: Channels = 32,
        pool_width: Tokens = 3,
        activation: Activation = "relu",
    ) -> None:
        def conv(filters: int, width: int = 1) -> dict[str, Any]:
            if width == 1:
                return {"type": "pointwise_conv", "num_filters": filters, "activation": activation}
            return {"type": "kim_conv", "filter_widths": [width], "num_filters": filters, "activation": activation}

        pooled = {"type": "local_max", "width": pool_width, "stride": 1, "padding": "same"}
        super().__init__(
            in_dim,
            branches=(
                (conv(num_filters),),
                *((conv(reduction), conv(num_filters, width)) for width in filter_widths),
                (pooled, conv(num_filters)),
            ),
        )
