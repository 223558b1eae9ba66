"""A bare Streamlit page, the reference of `app.py`: `streamlit run app_bare.py -- slider|chart`."""

import math
import sys

import streamlit as st

if sys.argv[1] == "slider":
    size = st.slider("Size", 1, 256, 64)
    for name, value in (("Accuracy", f"{size / 2.56:.1f} %"), ("File", f"{size * 4} kB"), ("Parameters", size * 1000)):
        st.metric(name, value)
    st.metric("Time", f"{size / 100:.2f} ms")
else:
    x = list(range(1, 257))
    line = {"type": "scatter", "mode": "lines+markers", "x": x, "y": [math.log(k) for k in x]}
    st.plotly_chart({"data": [line], "layout": {"height": 400}})
