"""
============================
Train on your own text files
============================

Train a language model on all text files in a folder, from the command line::

    python examples/train_on_text_files.py FOLDER [--context-size 4] [--refine]
        [--prompt "Once upon a time"] [--tokens 60] [--save model]

Every ``*.txt`` file below FOLDER (UTF-8) is a document. One file in ten (at least one)
is held out to score the model; the choice is the same in every run. Byte-pair encoding
needs the extra ``lm``: ``pip install 'explicit_softmax[lm]'``.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

from explicit_softmax import ExplicitLanguageModel, Refinement


def read_texts(folder: Path) -> list[str]:
    """Read the files below a folder; exit if there are fewer than two."""
    if not folder.is_dir():
        sys.exit(f"{folder} is not a folder")
    texts = []
    for path in sorted(folder.rglob("*.txt")):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            sys.exit(f"{path} is not UTF-8 ({error}): convert or remove it")
        if text.strip():
            texts.append(text)
    if len(texts) < 2:
        sys.exit(
            f"{folder} has {len(texts)} files *.txt that are not empty: at least two "
            "are needed, one for training and one for scoring"
        )
    return texts


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Train a language model on a folder of text files."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--context-size", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=4098)
    parser.add_argument("--prompt", default="")
    parser.add_argument("--tokens", type=int, default=60, help="tokens to generate")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=0, help="of the generation")
    parser.add_argument("--refine", action="store_true", help="refine the solution")
    parser.add_argument("--save", type=Path, help="where to save the model")
    arguments = parser.parse_args(argv)

    texts = read_texts(arguments.folder)
    random.Random(0).shuffle(texts)
    n_dev = max(1, len(texts) // 10)
    dev, train = texts[:n_dev], texts[n_dev:]

    model = ExplicitLanguageModel(
        context_size=arguments.context_size,
        # Only models of windows can be refined.
        aggregation="cat" if arguments.refine else "ngram",
        vocabulary_size=arguments.vocabulary,
        warm_start=arguments.refine,
        refinement=Refinement(random_state=0),
    )
    start = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - start
    print(
        f"{len(train)} files, {model.n_tokens_:,} tokens, "
        f"{model.vocabulary_size_:,} ids: {seconds:.1f} s"
    )
    if arguments.refine:
        betas = ", ".join(f"{beta:.2f}" for beta in model.inverse_temperature_)
        print(f"inverse temperatures, nearest token first: {betas}")
    found = model.evaluate(dev)
    print(
        f"{len(dev)} held-out files, {found['n_tokens']:,} tokens: "
        f"perplexity {found['perplexity']:.1f}, "
        f"{found['bits_per_byte']:.3f} bits per byte"
    )
    print()
    print(
        arguments.prompt
        + model.generate(
            arguments.prompt,
            n_tokens=arguments.tokens,
            temperature=arguments.temperature,
            top_k=40,
            random_state=arguments.seed,
        )
    )
    if arguments.save:
        model.save(arguments.save)
        print(f"\nsaved to {arguments.save}; ExplicitLanguageModel.load reads it")


if __name__ == "__main__":
    main()
