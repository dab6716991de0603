"""The dual bounds of a result file: each certificate is checked again, on the instance it speaks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from framework.bounds import SIMPLE, Certificate, Soundness
from framework.contracts import CertificateChecker
from framework.errors import UserError
from framework.model.problem import Problem
from framework.portfolio.result import Result
from framework.proof.log import OtherVersionError
from framework.registry import EntrySpec, registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What there is to say for one bound of a file.

    Attributes
    ----------
    claimed
        The bound in ticks; None if that cannot be read.
    proved
        What its certificate proves, in ticks; None without a certificate, or if it proves nothing.
    fault
        Why the claim is false or its certificate is none; empty otherwise.
    unread
        Why the certificate or log is not checked, in which case it proves nothing; empty if it is.
    by
        What proves it.
    """

    source: str
    soundness: str
    claimed: int | None
    proved: int | None
    fault: str = ""
    unread: str = ""
    by: str = "certificate"

    def __str__(self) -> str:
        claimed = "" if self.claimed is None else f" {self.claimed}"
        return f"dual bound{claimed} of {self.source} ({self.soundness})"


def proofs_of(result: Result, problem: Problem) -> list[Proof]:
    """Check the certificate of every bound of a result, in its order."""
    certificates = [bound.certificate for bound in result.bounds if bound.certificate is not None]
    problems = _problems_by_digest(problem, certificates)
    entries = {member.name: member.entry for member in result.members}
    proofs = []
    for bound in result.bounds:
        claimed, source, soundness, certificate = bound.ticks, bound.source, bound.soundness.value, bound.certificate
        proved: int | None = None
        fault = unread = ""
        if certificate is None:
            fault = _why_certificate_is_missed(source, soundness, entries)
        else:
            try:
                proved, fault = _check(claimed, certificate, problems)
            except OtherVersionError as error:
                unread = str(error)
        proofs.append(
            Proof(source=source, soundness=soundness, claimed=claimed, proved=proved, fault=fault, unread=unread)
        )
    return proofs


def _why_certificate_is_missed(source: str, soundness: str, entries: Mapping[str, str]) -> str:
    """Return why a bound must have a certificate; empty where it need not."""
    if source == SIMPLE and source not in entries:
        return "this bound always has a certificate, and it is missing"
    if soundness == Soundness.CERTIFIED:
        try:
            factory = registry.get(EntrySpec.parse(entries.get(source, source)).name).factory
        except UserError:
            return ""
        if issubclass(factory, CertificateChecker):
            return f"{source} proves what it calls certified by a certificate, and it is missing"
    return ""


def _check(claimed: int, certificate: Certificate, problems: Mapping[str, Problem]) -> tuple[int | None, str]:
    problem = problems.get(certificate.instance)
    if problem is None:
        return None, "its certificate speaks of another instance"
    try:
        checker = registry.create(EntrySpec(certificate.kind))
    except UserError:
        return None, f"nothing here checks certificates of the kind {certificate.kind!r}: give the run's `plugin_files`"
    if not isinstance(checker, CertificateChecker):
        return None, f"{certificate.kind} cannot check certificates"
    try:
        proved = checker.check(problem, certificate)
    except OtherVersionError:
        raise
    except Exception as error:
        # Whatever a checker makes of a damaged certificate: it proves nothing.
        words = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        return None, f"the certificate proves nothing: {words}"
    return (proved, f"the certificate proves {proved} only") if proved < claimed else (proved, "")


def _problems_by_digest(problem: Problem, certificates: Sequence[Certificate]) -> dict[str, Problem]:
    """The original problem, the reduced one if some certificate speaks of another instance, and relaxations of both."""
    problems = relaxations(problem)
    if {certificate.instance for certificate in certificates} - set(problems):
        from framework.structure.reduction.dominance import reduce_exact

        reduced = Problem(instance=reduce_exact(problem.instance, load_kernels=False), stages=problem.stages)
        problems |= relaxations(reduced)
    return problems


def relaxations(problem: Problem) -> dict[str, Problem]:
    """A problem and what entries may be given in its place, by the digests of their instances."""
    free = problem.without_limit()
    counted = (free.charged(), free, problem.charged(), problem)
    uniform = [posed.uniform() for posed in counted]
    every = (*(posed.without_worksets() for posed in (*uniform, *counted)), *uniform, *counted)
    return {posed.instance.sha256(): posed for posed in every}
