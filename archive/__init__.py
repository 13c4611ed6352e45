"""The archive: records of decisions as Parquet files, and their way there from the streams."""
