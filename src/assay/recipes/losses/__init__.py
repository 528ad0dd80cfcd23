"""Losses: pure functions of tensors, the objectives made of them, and (torch-free) what a spec may say of each."""
