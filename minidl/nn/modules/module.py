"""Hooks of all modules at once, where PyTorch has them: they go in front of each module's own."""

from minidl.nn.hooks import register_module_forward_hook, register_module_forward_pre_hook

__all__ = ["register_module_forward_hook", "register_module_forward_pre_hook"]
