"""Files and batches over HTTP, in the shape of OpenAI's API; loaded with the first request for them."""
