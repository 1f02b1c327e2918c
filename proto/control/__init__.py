"""The suite's own documents: configuration, status and their topics, as frozen pydantic models."""
