"""Systems side by side: trained under one budget, measured in one way, told in one report."""
