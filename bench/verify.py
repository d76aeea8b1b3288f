#!/usr/bin/env python3
"""A second verifier, which shares nothing with the service: `python3 bench/verify.py EXPORT KEY`.

It reads an export (`remit ledger export`), recomputes leaf hashes, order, chains and the root, and checks the signature
of the checkpoint with `openssl`, as Python's standard library has no Ed25519. Exit code 0: verified.
"""
import base64
import hashlib
import json
import re
import subprocess
import sys
import tempfile


def sha256(data):
    return hashlib.sha256(data).digest()


def split_of(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def root_of(leaves):
    if len(leaves) == 1:
        return leaves[0]
    k = split_of(len(leaves))
    return sha256(b"\x01" + root_of(leaves[:k]) + root_of(leaves[k:]))


def root_from_range(leaves, first, size, proof):
    """RFC 6962's recursion; what lies outside the range is taken from the proof, in order."""
    rest = iter(proof)
    end = first + len(leaves)

    def walk(low, high):
        if high <= first or low >= end:
            return next(rest)
        if low >= first and high <= end:
            return root_of(leaves[low - first : high - first])
        middle = low + split_of(high - low)
        left = walk(low, middle)
        return sha256(b"\x01" + left + walk(middle, high))

    root = walk(0, size)
    if next(rest, None) is not None:
        raise ValueError("the proof is too long")
    return root


def check_signature(note, vkey):
    name, key_id, encoded = vkey.split("+", 2)
    key = base64.b64decode(encoded)
    if key[0] != 1 or sha256(name.encode() + b"\n" + key)[:4].hex() != key_id:
        raise ValueError("the key is none")
    text, signatures = note.rsplit("\n\n", 1)
    text = (text + "\n").encode()
    for line in signatures.splitlines():
        _dash, signer, data = line.split(" ")
        signature = base64.b64decode(data)
        if signer != name or signature[:4].hex() != key_id:
            continue
        der = bytes.fromhex("302a300506032b6570032100") + key[1:]
        with tempfile.NamedTemporaryFile() as public, tempfile.NamedTemporaryFile() as signed, tempfile.NamedTemporaryFile() as message:
            for file, data in ((public, der), (signed, signature[4:]), (message, text)):
                file.write(data)
                file.flush()
            command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", public.name, "-rawin", "-in", message.name, "-sigfile", signed.name]
            if subprocess.run(command, capture_output=True).returncode != 0:
                raise ValueError("the signature of the checkpoint is wrong")
        origin, size, root = text.decode().split("\n")[:3]
        if origin != name:
            raise ValueError("the checkpoint is another log's")
        return int(size), base64.b64decode(root)
    raise ValueError("the key didn't sign the checkpoint")


def check(lines, vkey):
    head = json.loads(next(lines))
    if head["remit_export"] != 1:
        raise ValueError("it is no export")
    size, root = check_signature(head["checkpoint"], vkey)
    leaves, chains = [], {}
    for line in lines:
        index, claimed, leaf = re.fullmatch(r'\{"index":(\d+),"leaf_hash":"([\w-]{43})","leaf":(.*)\}\n', line, re.S).groups()
        leaf_hash = sha256(b"\x00" + leaf.encode())
        if int(index) != head["first"] + len(leaves):
            raise ValueError(f"entry {index} is out of order")
        if base64.urlsafe_b64decode(claimed + "=") != leaf_hash:
            raise ValueError(f"entry {index} is not what its hash is of")
        for link in json.loads(leaf)["chain"]:
            count, last = chains.get(link["k"], (0, b"") if head["first"] == 0 else (link["n"] - 1, None))
            before = None if last is None else base64.urlsafe_b64encode(last).decode().rstrip("=")
            if link["n"] != count + 1 or before not in (None, link["p"]):
                raise ValueError(f"entry {index} breaks the chain {link['k']}")
            chains[link["k"]] = (link["n"], leaf_hash)
        leaves.append(leaf_hash)
    if len(leaves) != head["count"]:
        raise ValueError(f"{head['count']} entries were exported, {len(leaves)} are there")
    proof = [base64.b64decode(text) for text in head["proof"]]
    if leaves and root_from_range(leaves, head["first"], size, proof) != root:
        raise ValueError("the entries are not those of the checkpoint")
    return len(leaves)


if __name__ == "__main__":
    try:
        with open(sys.argv[1], encoding="utf-8", newline="\n") as file:
            print(f"verified: {check(file, sys.argv[2])} entries")
    except (ValueError, AttributeError, KeyError, StopIteration) as error:
        sys.exit(f"not verified: {error}")
