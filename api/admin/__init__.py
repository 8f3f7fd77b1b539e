"""The FastAPI application: reading, acting, pages and their description."""
