"""What other libraries give: devices, precisions and processes."""
