"""The Hugging Face Hub: its client, its errors in one line each, patience, and the files of a release on it."""
