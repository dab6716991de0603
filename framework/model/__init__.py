"""What is to be split and what a split costs: graphs, devices, instances in ticks, partitions."""
