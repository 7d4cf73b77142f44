"""Pictures, grids, tables and plots of what was found."""
