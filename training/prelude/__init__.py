"""Prelude: the small code model that incipit ships, trained so that its early layers can speak."""
