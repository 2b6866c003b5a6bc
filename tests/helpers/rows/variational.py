"""What a variational autoencoder needs: draws that can be differentiated, and their divergence."""

import nnx
from nnx import functional as F
from rows.draws import both, normal, positive
from rows.record import Capability, Row, Wrong, layer, loss


def reduced(values, reduction):
    return {"none": lambda: values, "sum": values.sum, "mean": values.mean}[reduction]()


def _kl(torch, mean, variance, reduction="mean"):
    d = torch.distributions
    one = d.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return reduced(d.kl_divergence(d.Normal(mean, variance.sqrt()), one).sum(1), reduction)


CAPABILITIES = [
    Capability(
        "functional.reparameterize",
        "mean, variance and noise of one shape",
        "mean + torch.sqrt(variance) * noise",
        wrong=Wrong(((4, 3), (4, 2), (4, 3)), "expected"),
        rows=(
            Row(
                "reparameterize",
                F.reparameterize,
                both(normal((4, 3)), positive((4, 3)), normal((4, 3))),
                lambda torch, mean, variance, noise: mean + torch.sqrt(variance) * noise,
            ),
        ),
    ),
    Capability(
        "Reparameterization",
        "mean and variance of one shape",
        "torch.distributions.Normal(mean, variance.sqrt()).rsample()",
        wrong=Wrong(((4, 3), (4, 2)), "Reparameterization: expected"),
        rows=(
            layer(
                "Reparameterization-eval",
                lambda _: nnx.Reparameterization(seed=7),
                both(normal((4, 3)), positive((4, 3))),
                lambda torch, p, mean, variance: mean + 0.0 * variance,
                training=False,
                repr="Reparameterization(seed=7)",
            ),
        ),
    ),
    Capability(
        "functional.kl_divergence_standard_normal",
        "mean and variance (batch, ...) of one shape",
        "torch.distributions.kl_divergence",
        wrong=Wrong(((4, 3), (4, 2)), "expected"),
        rows=tuple(
            Row(
                f"kl-{reduction}",
                lambda m, v, r=reduction: F.kl_divergence_standard_normal(m, v, reduction=r),
                both(normal((4, 3)), positive((4, 3))),
                lambda torch, m, v, r=reduction: _kl(torch, m, v, r),
                batch={"none": "concat"}.get(reduction, reduction),
            )
            for reduction in ("mean", "sum", "none")
        ),
    ),
    Capability(
        "KLDivergenceStandardNormal",
        "mean and variance (batch, ...) of one shape",
        "torch.distributions.kl_divergence",
        wrong=Wrong(((4, 3), (4, 2)), "KLDivergenceStandardNormal: expected"),
        rows=(
            loss(
                "KLDivergenceStandardNormal",
                nnx.KLDivergenceStandardNormal(),
                both(normal((4, 3)), positive((4, 3))),
                _kl,
                repr="KLDivergenceStandardNormal()",
            ),
        ),
    ),
]
