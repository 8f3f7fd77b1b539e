"""Configuration: the document, its file, its checks, and the plan that makes it true."""
