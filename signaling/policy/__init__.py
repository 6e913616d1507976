"""What one client may do to the others and to the operator's purse: decisions only, told the time."""
